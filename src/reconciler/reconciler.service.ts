import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Environment } from '../config/environment.js';
import type { DeviceRef } from '../events/devices-deleted.event.js';
import { Metrics } from '../metrics/metrics.js';
import { OutboxWorker } from '../outbox/outbox.worker.js';
import { SessionService } from '../session/session.service.js';
import { Clock } from '../system/clock.js';
import { HANGING_ON_DEVICES, ReconcilerStore } from './reconciler.store.js';

/** Rows of a table that one round looks at; the next one goes on from there. */
const PAGE = 2_000;
/** Pages that an administrator's round looks at. */
const MOST_PAGES = 100;
const EXAMPLES = 10;
const EVENT_IS_STUCK_AFTER_MS = 10 * 60 * 1_000;
const START: DeviceRef = { userId: '', deviceId: '' };

/** The last row that was looked at, by table; `null` at its end. */
type Positions = Map<string, DeviceRef | null>;

/** What one round found of one kind. */
export interface Finding {
  /** Such as `access_tokens_without_device`. */
  readonly problem: string;
  readonly found: number;
  readonly repaired: number;
  /** A few of what was found, by name. */
  readonly examples: readonly string[];
}

/**
 * Looks every `RECONCILE_INTERVAL` for what should be impossible, and mends it: rows that hang on a device that is not
 * there (a foreign key was dropped, or a backup restored without it), devices that nobody can sign in on any more, events that
 * nobody delivers. A round is bounded; it goes on where the last one ended.
 */
@Injectable()
export class ReconcilerService implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(ReconcilerService.name);
  /** Where the periodic round goes on. */
  private readonly positions: Positions = new Map();
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly store: ReconcilerStore,
    private readonly sessions: SessionService,
    private readonly outbox: OutboxWorker,
    private readonly metrics: Metrics,
    private readonly environment: Environment,
    private readonly clock: Clock,
  ) {}

  onApplicationBootstrap(): void {
    const { reconcile, reconcileIntervalMs } = this.environment;
    if (reconcile === 'off') return;
    this.timer = setInterval(() => {
      this.running = this.running.then(() => this.roundNow(reconcile === 'repair'));
    }, reconcileIntervalMs).unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.running;
  }

  /** Looks from the beginning, page by page; a dry look changes nothing. */
  async lookThrough(repair: boolean): Promise<Finding[]> {
    const positions: Positions = new Map();
    const findings: Finding[] = [];
    for (let page = 0; page < MOST_PAGES; page += 1) {
      findings.push(...(await this.devicesRound(repair, positions)));
      if ([...positions.values()].every((position) => position === null)) break;
    }
    return this.report([...findings, await this.reconcileEvents(repair)]);
  }

  /** One page of each table, from where the last round ended. */
  async round(repair: boolean): Promise<Finding[]> {
    // A table that was looked through begins anew.
    for (const [table, position] of this.positions) if (position === null) this.positions.delete(table);
    const findings = await this.devicesRound(repair, this.positions);
    return this.report([...findings, await this.reconcileEvents(repair)]);
  }

  private async roundNow(repair: boolean): Promise<void> {
    try {
      await this.round(repair);
    } catch (error) {
      this.logger.warn(`The round failed, and goes on the next time: ${String(error)}`);
    }
  }

  private async devicesRound(repair: boolean, positions: Positions): Promise<Finding[]> {
    const findings: Finding[] = [];
    for (const table of HANGING_ON_DEVICES) {
      const lost = await this.page(table, positions, (from) => this.store.look(table, from, PAGE));
      const repaired = repair && lost.length > 0 ? await this.store.remove(table, lost) : 0;
      findings.push(toFinding(`${table}_without_device`, lost, repaired));
    }
    const before = new Date(this.clock.now().getTime() - this.environment.deviceWithoutTokenTtlMs);
    const dead = await this.page('devices', positions, (from) =>
      this.store.lookAtDevices(from, PAGE, before),
    );
    const repaired = repair && dead.length > 0 ? await this.sessions.endExpired(dead, before) : 0;
    return [...findings, toFinding('devices_without_token', dead, repaired)];
  }

  private async reconcileEvents(repair: boolean): Promise<Finding> {
    const before = new Date(this.clock.now().getTime() - EVENT_IS_STUCK_AFTER_MS);
    const stuck = await this.store.stuckEvents(before, PAGE);
    if (repair && stuck.length > 0) await this.outbox.drain();
    const left = repair && stuck.length > 0 ? await this.store.stuckEvents(before, PAGE) : stuck;
    return {
      problem: 'events_stuck',
      found: stuck.length,
      repaired: stuck.length - left.length,
      examples: stuck.slice(0, EXAMPLES).map(({ subscriber, eventId }) => `${subscriber} ${eventId}`),
    };
  }

  /** The next rows of a table, of which those are given that are wrong. */
  private async page(
    name: string,
    positions: Positions,
    look: (from: DeviceRef) => Promise<(DeviceRef & { readonly wrong: boolean })[]>,
  ): Promise<DeviceRef[]> {
    const from = positions.get(name);
    if (from === null) return [];
    const rows = await look(from ?? START);
    positions.set(name, rows.at(-1) ?? null);
    return rows.filter(({ wrong }) => wrong);
  }

  /** One finding for each problem that there is. */
  private report(findings: readonly Finding[]): Finding[] {
    const byProblem = new Map<string, Finding>();
    for (const one of findings.filter(({ found }) => found > 0)) {
      const sum = byProblem.get(one.problem) ?? { ...one, found: 0, repaired: 0, examples: [] };
      byProblem.set(one.problem, {
        problem: one.problem,
        found: sum.found + one.found,
        repaired: sum.repaired + one.repaired,
        examples: [...sum.examples, ...one.examples].slice(0, EXAMPLES),
      });
    }
    for (const { problem, found, repaired, examples } of byProblem.values()) {
      this.metrics.count('session_reconciler_problems_total', { problem, outcome: 'found' }, found);
      this.metrics.count('session_reconciler_problems_total', { problem, outcome: 'repaired' }, repaired);
      this.logger.warn(`${problem}: ${found} found, ${repaired} repaired; ${examples.join(', ')}`);
    }
    return [...byProblem.values()];
  }
}

function toFinding(problem: string, devices: readonly DeviceRef[], repaired: number): Finding {
  const examples = devices.slice(0, EXAMPLES).map(({ userId, deviceId }) => `${userId} ${deviceId}`);
  return { problem, found: devices.length, repaired, examples };
}
