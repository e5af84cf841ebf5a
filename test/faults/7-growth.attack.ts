import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { Seed, SERVER_NAME, type SeededSession } from '../../bench/seed.js';
import { conclude, residentMb } from './support/attack.js';
import { form, trials } from './support/form.js';
import { besiege } from './support/siege.js';
import { Stage } from './support/stage.js';
import { Wire } from './support/wire.js';

const ROUNDS = trials(400, 100);
/** An index that is not used shows as a hundred times as long. */
const MOST_TIMES_LONGER = 5;
const MINUTE_MS = 60_000;

const median = (times: readonly number[]) => times.toSorted((one, other) => one - other)[times.length >> 1]!;

describe('Growth:', () => {
  let stage: Stage;
  let seed: Seed;
  let wire: Wire;
  beforeAll(async () => {
    stage = await Stage.set(1, { SERVER_NAME });
    seed = await Seed.open({ url: stage.postgres.url });
    wire = new Wire(stage.anyNode, []);
  });
  afterAll(async () => {
    await seed?.client.end();
    await wire?.close();
    await stage?.clear();
  });

  /** Median milliseconds of the two requests, one at a time. */
  async function times(): Promise<{ whoami: number; logout: number }> {
    const [whoami, logout]: [number[], number[]] = [[], []];
    const timed = async (into: number[], method: 'GET' | 'POST', path: string, { access }: SeededSession) => {
      const began = performance.now();
      const answer = await wire.send(method, path, { token: access.token });
      into.push(performance.now() - began);
      if (answer?.status !== 200) wire.violations.push(`${path} got ${answer?.status}`);
    };
    for (const session of await seed.sessions(ROUNDS)) {
      await timed(whoami, 'GET', '/account/whoami', session);
      await timed(logout, 'POST', '/logout', session);
    }
    return { whoami: median(whoami.slice(20)), logout: median(logout.slice(20)) };
  }

  it('logout and whoami beside the rows of many users', async (context) => {
    const users = trials(1_000_000, 20_000);
    const before = await times();
    await seed.crowd(users);
    const after = await times();
    const ratios = { whoami: after.whoami / before.whoami, logout: after.logout / before.logout };
    const violations = Object.entries(ratios)
      .filter(([, ratio]) => ratio > MOST_TIMES_LONGER)
      .map(([what, ratio]) => `${what} takes ${ratio.toFixed(1)} times as long`);
    const note = Object.entries(ratios).map(
      ([what, ratio]) => `${what} takes ${ratio.toFixed(2)} times as long`,
    );
    conclude(context, {
      trials: users,
      of: 'users',
      violations: [...violations, ...wire.violations.splice(0)],
      worstMs: wire.worstMs,
      note: `${note.join(', ')} as in an empty database`,
    });
  });

  it('a user with many devices logs out everywhere', async (context) => {
    const devices = trials(10_000, 1_000);
    const keysADevice = 50;
    const { userId, access } = await seed.manyDevices(devices);
    const began = performance.now();
    const answer = await wire.send('POST', '/logout/all', { token: access.token });
    const answeredMs = performance.now() - began;
    const violations = answer?.status === 200 ? [] : [`it got ${answer?.status}`];
    for (const table of ['access_tokens', 'refresh_tokens']) {
      const left = await rowsOf(table, userId);
      if (left > 0) violations.push(`${left} rows of ${table} after the 200`);
    }
    const until = performance.now() + 2 * MINUTE_MS;
    for (const table of ['devices', 'one_time_keys', 'device_keys', 'fallback_keys']) {
      while ((await rowsOf(table, userId)) > 0 && performance.now() < until) await sleep(100);
      const left = await rowsOf(table, userId);
      if (left > 0) violations.push(`${left} rows of ${table} are left`);
    }
    conclude(context, {
      trials: devices,
      of: `devices with ${(devices * keysADevice).toLocaleString('en')} one-time keys`,
      violations: [...violations, ...wire.violations.splice(0)],
      worstMs: answeredMs,
      memoryMb: await stage.peakMb(),
      note: `the last row was gone after ${((performance.now() - began) / 1_000).toFixed(1)} s`,
    });
  });

  async function rowsOf(table: string, userId: string): Promise<number> {
    const text = `SELECT count(*)::int AS count FROM ${table} WHERE user_id = $1`;
    return (await seed.client.query<{ count: number }>(text, [userId])).rows[0]!.count;
  }
});

describe('Soak:', () => {
  let stage: Stage;
  beforeAll(async () => {
    const settings = { autovacuum_naptime: '5s', autovacuum_vacuum_cost_delay: '0' };
    stage = await Stage.set(1, {}, { settings });
  });
  afterAll(() => stage?.clear());

  interface Reading {
    readonly residentMb: number;
    readonly handles: number;
    readonly connections: number;
    readonly tablesMb: number;
  }

  async function read(): Promise<Reading> {
    const pid = stage.nodes[0]!.child.pid!;
    const [row] = await stage.postgres.execute<{ connections: number; bytes: string }>(
      `SELECT (SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'matrix-session-service') AS connections,
       (SELECT sum(pg_total_relation_size(name::regclass)) FROM unnest(
          ARRAY['devices', 'access_tokens', 'refresh_tokens', 'device_keys', 'event_deliveries']) AS name) AS bytes`,
    );
    return {
      residentMb: await residentMb(pid),
      handles: (await readdir(`/proc/${pid}/fd`)).length,
      connections: row!.connections,
      tablesMb: Number(row!.bytes) / 1e6,
    };
  }

  it('a crowd that uses it all the time leaves everything flat', async (context) => {
    const seconds = form === 'soak' ? 3_600 : trials(60, 4);
    await besiege(context, stage, {
      trials: seconds,
      of: 'seconds',
      attack: async ({ ledger }) => {
        // It is warm by then.
        await sleep(seconds * 250);
        const early = await read();
        await sleep(seconds * 750);
        const late = await read();
        const room: Reading = { residentMb: 60, handles: 10, connections: 2, tablesMb: 8 };
        for (const what of Object.keys(room) as (keyof Reading)[])
          if (late[what] > early[what] * 1.3 + room[what])
            ledger.violations.push(`${what} grew from ${early[what]} to ${late[what]}`);
      },
    });
  });
});
