import pg from 'pg';
import { DataSource } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Housekeeping } from '../../src/database/housekeeping.js';
import type { Statement } from '../../src/database/tx.js';
import { UnitOfWork } from '../../src/database/unit-of-work.js';
import { Metrics } from '../../src/metrics/metrics.js';
import { OutboxWorker } from '../../src/outbox/outbox.worker.js';
import { clientOptions, type TestDatabase } from '../../src/testing/test-postgres.js';
import { createDatabase } from '../support/database.js';
import { TestApp } from '../support/test-app.js';

const MANY = 1_000_000;
const SOME = 100_000;
const USERS = 10_000;
/** Pages that a statement may look at for each row it removes; the row is found, locked and deleted. */
const PAGES_A_ROW = 10;
/** Pages that a statement may look at if nothing is old: those of the index, down to its first entry. */
const PAGES_FOR_NOTHING = 20;
/** Clients that have not been used for long, but that somebody still has a grant for. */
const USED_CLIENTS = 20_000;
const ROUNDS = 6;
/** What housekeeping removes at a time. */
const BATCH = 1_000;
/** A batch before which a hundred thousand rows and more have been removed. */
const LATE_BATCH = 150;

const USER = `'@u' || n % ${USERS} || ':x'`;
const DIGEST = 'sha256(n::text::bytea)';
/** Every second row is old. Times are in no order, so that neighbours in time are not neighbours in the table. */
const AT = `(CASE WHEN n % 2 = 0 THEN now() - interval '400 days' ELSE now() + interval '1 hour' END
  + (hashint4(n::int) % 1000000) * interval '1 millisecond')`;

/** A table that is purged: how many rows it gets, what each row is, and how many are removed. */
interface Growing {
  readonly rows: number;
  readonly row: string;
  readonly removed: Readonly<Record<string, number>>;
}

const half = (what: string, rows: number) => ({ rows, removed: { [what]: rows / 2 } });

const GROWING: Record<string, Growing> = {
  access_tokens: {
    ...half('access_tokens', MANY),
    row: `(user_id, token_digest, device_id, confirms_rotation, created_at, expires_at) SELECT ${USER}, ${DIGEST}, 'D', false, ${AT}, ${AT}`,
  },
  audit_entries: {
    ...half('audit_entries', MANY),
    row: `(user_id, at, entry_id, action) SELECT ${USER}, ${AT}, n, CASE WHEN n % 100 < 2 THEN 'refused' ELSE 'session_started' END`,
  },
  device_list_changes: {
    ...half('device_list_changes', MANY),
    row: `(user_id, position, change) SELECT ${USER}, (extract(epoch FROM ${AT}) * 1000000)::bigint + n / ${USERS}, 'device_keys'`,
  },
  event_deliveries: {
    rows: MANY,
    removed: { delivered_events: 0.4 * MANY, buried_events: 0.1 * MANY },
    row: `(user_id, subscriber, position, ordinal, event_id, event, payload, occurred_at, state, attempts, next_attempt_at, settled_at)
      SELECT ${USER}, 'team', n, 1, 'evt_' || n, CASE WHEN n % 20 = 7 THEN 'unwanted' ELSE 'devices.deleted' END,
        '{"devices":[]}', ${AT},
        CASE n % 10 WHEN 8 THEN 'buried' WHEN 9 THEN 'buried' WHEN 7 THEN 'pending' ELSE 'delivered' END,
        1, ${AT}, CASE WHEN n % 10 <> 7 THEN ${AT} END`,
  },
  login_tokens: {
    ...half('login_tokens', SOME),
    row: `(user_id, token_digest, device_id, expires_at) SELECT ${USER}, ${DIGEST}, 'D', ${AT}`,
  },
  uia_sessions: {
    ...half('challenges', SOME),
    row: `(session_id, operation, user_id, parameters, completed, expires_at) SELECT n, 'POST /x', n, '{}', '[]', ${AT}`,
  },
  cross_signing_keys: {
    ...half('replaced_cross_signing_keys', SOME),
    row: `(user_id, public_key, usage, key, uploaded_at, replaced_at) SELECT ${USER}, n, 'master', '{}', ${AT}, ${AT}`,
  },
  rate_limits: {
    ...half('rate_limit_counters', SOME),
    row: `(key, points, expire) SELECT 'x:' || n, 1, (extract(epoch FROM ${AT}) * 1000)::bigint`,
  },
  oauth_clients: {
    rows: SOME,
    removed: { oauth_clients: SOME / 2 - USED_CLIENTS },
    row: `(client_id, metadata, registered_at, last_used_at) SELECT 'c' || n, '{}', ${AT}, ${AT}`,
  },
  oauth_grants: {
    ...half('oauth_grants', SOME),
    row: `(user_id, grant_digest, client_id, scope, device_id, issued_at, expires_at) SELECT ${USER}, ${DIGEST}, CASE WHEN n < ${2 * USED_CLIENTS} THEN 'c' || n + 1 ELSE 'c1' END, 's', 'D', ${AT}, ${AT}`,
  },
  oauth_device_grants: {
    ...half('device_codes', SOME),
    row: `(device_code_digest, user_code, client_id, scope, device_id, state, address, issued_at, expires_at, interval_ms)
      SELECT ${DIGEST}, n, 'c1', 's', 'D', 'pending', 'a', ${AT}, ${AT}, 5000`,
  },
  ending_jobs: {
    ...half('ending_jobs', SOME),
    row: `(job_id, filter, actor, state, created_at, updated_at, finished_at) SELECT n, '{}', 'a', 'done', ${AT}, ${AT}, ${AT}`,
  },
  browser_sessions: {
    ...half('browser_sessions', SOME),
    row: `(user_id, session_digest, created_at, authenticated_at, seen_at, expires_at) SELECT ${USER}, ${DIGEST}, ${AT}, ${AT}, ${AT}, ${AT}`,
  },
};

let database: TestDatabase;
let nodes: TestApp[];

const one = () => nodes[0]!;
const pool = () => (one().nest.get(DataSource).driver as PostgresDriver).master as pg.Pool;

/** Fills a table at the speed of a bulk load: without its indexes and foreign keys, which are then made again. */
async function fill(table: string, { rows, row }: Growing): Promise<void> {
  const constraints = await one().sql<{ name: string; definition: string }>(
    `SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
     WHERE conrelid = $1::regclass AND contype = 'f'`,
    [table],
  );
  const indexes = await one().sql<{ name: string; definition: string }>(
    `SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index
     WHERE indrelid = $1::regclass AND NOT indisunique`,
    [table],
  );
  // Not one of the service's pool, whose statements have a limit: a slow machine needs longer.
  const client = new pg.Client(clientOptions(database.location));
  await client.connect();
  try {
    for (const { name } of constraints) await client.query(`ALTER TABLE ${table} DROP CONSTRAINT ${name}`);
    for (const { name } of indexes) await client.query(`DROP INDEX ${name}`);
    await client.query(`INSERT INTO ${table} ${row} FROM generate_series(1, ${rows}) AS n`);
    for (const { definition } of indexes) await client.query(definition);
    for (const { name, definition } of constraints)
      await client.query(`ALTER TABLE ${table} ADD CONSTRAINT ${name} ${definition}`);
    await client.query(`ANALYZE ${table}`);
  } finally {
    await client.end();
  }
}

beforeAll(async () => {
  database = await createDatabase();
  const start = () =>
    TestApp.start({ database, variables: { METRICS_PORT: '0', EVENT_POLL_INTERVAL: '1h' } });
  // The nodes' own timers never fire: housekeeping runs only when a test says so.
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  try {
    nodes = [await start(), await start()];
  } finally {
    vi.useRealTimers();
  }
  const each = `FROM generate_series(0, ${USERS - 1}) AS n`;
  await one().sql(`INSERT INTO accounts (user_id, created_at) SELECT ${USER}, now() ${each}`);
  await one().sql(`INSERT INTO devices (user_id, device_id, created_at) SELECT ${USER}, 'D', now() ${each}`);
  await one().sql(`INSERT INTO device_lists (user_id, position) SELECT ${USER}, 1 ${each}`);
  await one().sql(`INSERT INTO event_subscriptions VALUES ('team', 'devices.deleted', now())`);
  for (const [table, growing] of Object.entries(GROWING)) await fill(table, growing);
}, 240_000);

afterAll(async () => {
  for (const node of nodes) await node.stop();
  await database.drop();
}, 60_000);

interface Plan {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Cond'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly 'Shared Hit Blocks': number;
  readonly 'Shared Read Blocks': number;
  readonly Plans?: readonly Plan[];
}

/** Measures how long statements take. This is told, not judged. */
class Stopwatch {
  private readonly durations = new Map<string, number[]>();

  time =
    (call: Call): Call =>
    async (statement, values) => {
      const before = performance.now();
      const rows = await call(statement, values);
      this.durations.set(statement.name, [
        ...(this.durations.get(statement.name) ?? []),
        performance.now() - before,
      ]);
      return rows;
    };

  print(who: string): void {
    const lines = [...this.durations].map(
      ([name, all]) => `${name}: ${all.length} times, at most ${Math.ceil(Math.max(...all))} ms`,
    );
    console.log(`Statements of ${who}:\n${lines.join('\n')}`);
  }
}

type Call = (statement: Statement, values: unknown[]) => Promise<unknown[]>;

/** Lets nodes do their housekeeping, with `around` around each statement. */
async function keepHouse(around: (call: Call) => Call, of = nodes): Promise<void> {
  const spies = of.map((node) => {
    const unitOfWork = node.nest.get(UnitOfWork);
    const call: Call = unitOfWork.runOne.bind(unitOfWork);
    return vi.spyOn(unitOfWork, 'runOne').mockImplementation(around(call) as never);
  });
  try {
    await Promise.all(
      of.flatMap(({ nest }) => [nest.get(Housekeeping).run(), nest.get(OutboxWorker).keepHouse()]),
    );
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

/** Executes a statement as the service does, and returns what it did; then everything is rolled back. */
async function explain({ text }: Statement, values: readonly unknown[]): Promise<Plan> {
  const client = await pool().connect();
  const literal = (value: unknown) =>
    client.escapeLiteral(value instanceof Date ? value.toISOString() : String(value));
  try {
    await client.query('BEGIN');
    await client.query(`PREPARE looked AS ${text}`);
    const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
      `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE looked (${values.map(literal).join(', ')})`,
    );
    return rows[0]!['QUERY PLAN'][0].Plan;
  } finally {
    await client.query('ROLLBACK');
    await client.query('DEALLOCATE looked');
    client.release();
  }
}

const nodesOf = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];
const pagesOf = (plan: Plan) => plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
/** How many rows each scan of a table read, those that it left out included. */
const rowsRead = (plan: Plan) =>
  nodesOf(plan)
    .filter((node) => node['Relation Name'] !== undefined && node['Node Type'].includes('Scan'))
    .map((node) => (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops']);

const isPurge = ({ name }: Statement) => name.includes('_purge');

/** How many rows all nodes have removed, by what they were. */
async function removed(): Promise<Record<string, number>> {
  const sums: Record<string, number> = {};
  for (const node of nodes) {
    const lines = (await node.nest.get(Metrics).text()).matchAll(
      /^session_housekeeping_rows_removed_total\{what="(\w+)"\} (\d+)$/gm,
    );
    for (const [, what, count] of lines) sums[what!] = (sums[what!] ?? 0) + Number(count);
  }
  return sums;
}

const inTotal = (counts: Record<string, number>) =>
  Object.values(counts).reduce((sum, count) => sum + count, 0);
const OLD: Record<string, number> = Object.assign(
  {},
  ...Object.values(GROWING).map((table) => table.removed),
);

describe('Among a million rows, half of them old', () => {
  /** Every statement that removes rows, with the values of its first call. */
  const statements = new Map<string, { statement: Statement; values: unknown[] }>();

  it('a statement reads no more rows than it removes, and few pages', async () => {
    const plans: [name: string, limit: number, plan: Plan][] = [];
    const stopwatch = new Stopwatch();
    await keepHouse(
      (call) => async (statement, values) => {
        const isKnown = statements.has(statement.name);
        if ((isPurge(statement) || statement.name === 'outbox_bury_unwanted') && !isKnown) {
          statements.set(statement.name, { statement, values });
          plans.push([statement.name, Number(values[1]), await explain(statement, values)]);
        }
        return stopwatch.time(call)(statement, values);
      },
      [one()],
    );
    stopwatch.print('one node');
    const tables = Object.keys(GROWING).filter((table) => table !== 'event_deliveries');
    expect(plans.map(([name]) => name).toSorted()).toEqual(
      [
        ...tables.map((table) => `${table}_purge`),
        'outbox_bury_unwanted',
        'outbox_purge_buried',
        'outbox_purge_delivered',
      ].toSorted(),
    );
    for (const [name, limit, plan] of plans) {
      const tooMany = rowsRead(plan).filter((rows) => rows > limit);
      expect({ name, tooMany }).toEqual({ name, tooMany: [] });
      expect({ name, pages: pagesOf(plan), most: limit * PAGES_A_ROW }).toSatisfy(
        ({ pages, most }: { pages: number; most: number }) => pages <= most,
      );
    }
  }, 120_000);

  it('a statement that finds nothing old looks at a few pages of an index', async () => {
    for (const { statement, values } of [...statements.values()].filter((known) =>
      isPurge(known.statement),
    )) {
      const [cutOff, limit, ...rest] = values;
      const longAgo = cutOff instanceof Date ? new Date(0) : 0;
      const plan = await explain(statement, [longAgo, limit, ...rest]);
      expect({ name: statement.name, pages: pagesOf(plan) }).toSatisfy(
        ({ pages }: { pages: number }) => pages <= PAGES_FOR_NOTHING,
      );
    }
  });

  it('two nodes remove each old row once, whatever others hold, and no young one', async () => {
    // Somebody is using old rows, so these stay. A node that waited for them would remove nothing else.
    const held: Record<string, number> = { access_tokens: 700, audit_entries: 800, delivered_events: 6_000 };
    const holder = await pool().connect();
    await holder.query('BEGIN');
    for (const [table, column, limit, where] of [
      ['access_tokens', 'expires_at', held['access_tokens'], 'true'],
      ['audit_entries', 'at', held['audit_entries'], 'true'],
      ['event_deliveries', 'settled_at', held['delivered_events'], `state = 'delivered'`],
    ] as const)
      await holder.query(
        `SELECT FROM ${table} WHERE ${where} AND ${column} IS NOT NULL ORDER BY ${column} LIMIT ${limit} FOR UPDATE`,
      );
    const stopwatch = new Stopwatch();
    let batches = 0;
    let late: Plan | undefined;
    const timed = (call: Call) => async (statement: Statement, values: unknown[]) => {
      if (statement.name === 'access_tokens_purge') batches += 1;
      if (batches === LATE_BATCH) late ??= await explain(statement, values);
      return stopwatch.time(call)(statement, values);
    };
    const left = Object.fromEntries(
      Object.entries(OLD).map(([what, count]) => [what, count - (held[what] ?? 0)]),
    );
    try {
      for (let round = 1; round < ROUNDS && inTotal(await removed()) < inTotal(left); round += 1)
        await keepHouse(timed);
      expect(await removed()).toEqual(left);
      stopwatch.print('two nodes, beside a transaction that began before them');
      // While that transaction runs, the index keeps the entries of all rows that were removed.
      // A batch that began at the start would look at each of them: at one page or more for each.
      expect(pagesOf(late!)).toBeLessThan((2 / 3) * LATE_BATCH * BATCH);
    } finally {
      await holder.query('ROLLBACK');
      holder.release();
    }
    await keepHouse((call) => call);
    expect(await removed()).toEqual(OLD);
    for (const [table, { rows, removed: gone }] of Object.entries(GROWING)) {
      const [young] = await one().sql(`SELECT count(*)::int AS count FROM ${table}`);
      expect([table, young]).toEqual([table, { count: rows - inTotal(gone) }]);
    }
    expect(
      await one().sql(`
        SELECT state, event, count(*)::int FROM event_deliveries WHERE state <> 'delivered' GROUP BY 1, 2 ORDER BY 1, 2`),
    ).toEqual([
      { state: 'buried', event: 'devices.deleted', count: MANY / 10 },
      { state: 'buried', event: 'unwanted', count: MANY / 20 },
      { state: 'pending', event: 'devices.deleted', count: MANY / 20 },
    ]);
  }, 120_000);
});
