import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import type { Held, Ledger } from './ledger.js';
import type { Listener } from './listener.js';
import type { Wire } from './wire.js';

/** As long as what was committed may take until it is delivered. */
const DELIVERY_MS = 30_000;

/** What must be true after every attack, once the service is well again. */
export class Invariants {
  constructor(
    private readonly client: Client,
    private readonly wire: Wire,
    private readonly listener: Listener | undefined,
  ) {}

  /** What was violated. An empty list is what everybody wants. */
  async violationsOf(ledger: Ledger, logs: readonly string[]): Promise<string[]> {
    const [orphans, rows, signedIn] = await Promise.all([
      orphansIn(this.client),
      rowsByDevice(this.client),
      this.signedIn(ledger.sessions),
    ]);
    const broken = ledger.sessions.flatMap((held) =>
      brokenOf(held, rows.get(nameOf(held)) ?? new Map(), signedIn.has(held)),
    );
    return [
      ...ledger.violations,
      ...this.wire.violations,
      ...orphans,
      ...broken,
      ...(await this.undelivered(ledger.sessions, rows)),
      ...leaksOf(ledger, logs),
    ];
  }

  private async signedIn(sessions: readonly Held[]): Promise<Set<Held>> {
    const signedIn = new Set<Held>();
    const queue = [...sessions];
    const ask = async () => {
      for (let held = queue.pop(); held !== undefined; held = queue.pop()) {
        const answer = await this.wire.send('GET', '/account/whoami', { token: held.access });
        if (answer?.status === 200) signedIn.add(held);
      }
    };
    await Promise.all(Array.from({ length: 16 }, ask));
    return signedIn;
  }

  /** Every committed event is delivered at least once. */
  private async undelivered(
    sessions: readonly Held[],
    rows: ReadonlyMap<string, unknown>,
  ): Promise<string[]> {
    if (this.listener === undefined) return [];
    const { began, ended } = this.listener;
    const missing = () => [
      ...sessions
        .filter((held) => !began.has(nameOf(held)))
        .map((held) => `${nameOf(held)}: nobody heard of its login`),
      ...sessions
        .filter((held) => !rows.has(nameOf(held)) && !ended.has(nameOf(held)))
        .map((held) => `${nameOf(held)}: nobody heard of its end`),
    ];
    const until = performance.now() + DELIVERY_MS;
    while (missing().length > 0 && performance.now() < until) await sleep(100);
    return missing();
  }
}

const UNCLAIMED = 'unclaimed one-time keys';
const nameOf = ({ userId, deviceId }: Held) => `${userId} ${deviceId}`;

/** What is not as the client of the session was told. */
function brokenOf(held: Held, rows: ReadonlyMap<string, number>, isSignedIn: boolean): string[] {
  const { fate, sent, uploaded, claimed, lostClaims } = held;
  const broken = (what: string) => [`${nameOf(held)} (${fate}): ${what}`];
  const isThere = rows.has('devices');
  if (isThere !== isSignedIn)
    return broken(isThere ? 'a device without its token' : 'a token without its device');
  if (!isThere) {
    if (fate === 'live') return broken('an acknowledged login is forgotten');
    return rows.size === 0 ? [] : broken(`rows are left in ${[...rows.keys()].join(', ')}`);
  }
  if (fate === 'ended') return broken('an acknowledged logout is undone');
  if (!rows.has('refresh_tokens')) return broken('the refresh token is gone');
  if (uploaded > 0 && !rows.has('device_keys')) return broken('the identity keys are forgotten');
  const left = rows.get(UNCLAIMED) ?? 0;
  if (left < uploaded - claimed - lostClaims) return broken(`only ${left} one-time keys are left`);
  if (left > sent - claimed) return broken(`${left} one-time keys are left, though ${claimed} were claimed`);
  return [];
}

/** The tables that name a device, from the catalogue. */
async function deviceTables(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT c.conrelid::regclass::text AS name FROM pg_constraint c
     WHERE c.contype = 'f' AND c.confrelid = 'devices'::regclass`,
  );
  return [...new Set(rows.map(({ name }) => name))];
}

/** Rows of devices that do not exist. */
async function orphansIn(client: Client): Promise<string[]> {
  const orphans: string[] = [];
  for (const table of await deviceTables(client)) {
    const { rows } = await client.query<{ user_id: string; device_id: string }>(
      `SELECT user_id, device_id FROM ${table} t WHERE device_id IS NOT NULL
       AND NOT EXISTS (SELECT FROM devices d WHERE d.user_id = t.user_id AND d.device_id = t.device_id) LIMIT 20`,
    );
    orphans.push(
      ...rows.map((row) => `${table} has a row of ${row.user_id} ${row.device_id}, which does not exist`),
    );
  }
  return orphans;
}

/** How many rows each device has in each table, and how many keys that can be claimed. */
async function rowsByDevice(client: Client): Promise<Map<string, Map<string, number>>> {
  const devices = new Map<string, Map<string, number>>();
  const read = async (table: string, as = table, where = 'device_id IS NOT NULL') => {
    const { rows } = await client.query<{ name: string; count: number }>(
      `SELECT user_id || ' ' || device_id AS name, count(*)::int AS count FROM ${table} WHERE ${where} GROUP BY 1`,
    );
    for (const { name, count } of rows) {
      if (!devices.has(name)) devices.set(name, new Map());
      devices.get(name)!.set(as, count);
    }
  };
  for (const table of ['devices', ...(await deviceTables(client))]) await read(table);
  await read('one_time_keys', UNCLAIMED, 'claimed_at IS NULL');
  return devices;
}

/** The secrets that stand in a log. */
function leaksOf({ secrets }: Ledger, logs: readonly string[]): string[] {
  const words = new Set(logs.flatMap((log) => log.split(/[^\w.-]+/)));
  const whole = [...secrets].filter((secret) => !/^[\w.-]+$/.test(secret));
  return [
    ...[...secrets].filter((secret) => words.has(secret)),
    ...whole.filter((secret) => logs.some((log) => log.includes(secret))),
  ].map((secret) => `the log has ${secret}`);
}
