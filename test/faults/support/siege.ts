import { setTimeout as sleep } from 'node:timers/promises';
import type { TestContext } from 'vitest';
import { conclude } from './attack.js';
import { Crowd } from './crowd.js';
import { Invariants } from './invariants.js';
import { Ledger } from './ledger.js';
import type { Stage } from './stage.js';
import { Wire } from './wire.js';

const CLIENTS = 12;
const PATIENCE_MS = 30_000;

/** What an attack does while a crowd uses the service, and what it counts. */
export interface Siege {
  readonly trials: number;
  readonly of: string;
  /** The statuses of 500 and more that the attack is a reason for. */
  readonly allowed?: readonly number[];
  /** How soon after the attack the service must work again. */
  readonly withinMs?: number;
  readonly attack: (crowd: { readonly ledger: Ledger; readonly wire: Wire }) => Promise<void>;
}

/** Attacks the stage while a crowd uses it, and then checks all that the crowd was told. */
export async function besiege(
  context: TestContext,
  stage: Stage,
  { trials, of, allowed = [], withinMs = PATIENCE_MS, attack }: Siege,
): Promise<void> {
  const ledger = new Ledger();
  const wire = new Wire(stage.anyNode, allowed);
  const crowd = new Crowd(wire, ledger, CLIENTS);
  let recoveryMs: number;
  try {
    await attack({ ledger, wire });
    const over = performance.now();
    await stage.recover();
    recoveryMs = performance.now() - over;
    // Some work without an attack, too.
    await sleep(500);
  } finally {
    await crowd.end();
  }
  // The attack is over: from now on there is no reason for an error.
  const calm = new Wire(stage.anyNode, []);
  const client = await stage.postgres.client();
  const violations = await new Invariants(client, calm, stage.listener).violationsOf(
    ledger,
    stage.allWords(),
  );
  await client.end();
  if (recoveryMs > withinMs) violations.push(`It took ${recoveryMs.toFixed(0)} ms until it worked again`);
  await Promise.all([wire.close(), calm.close()]);
  conclude(context, {
    trials,
    of,
    violations: [...violations, ...wire.violations],
    worstMs: wire.worstMs,
    memoryMb: await stage.peakMb(),
    note: `${ledger.ended} acknowledged logouts; well again after ${(recoveryMs / 1_000).toFixed(1)} s`,
  });
}
