import { describe, expect, it } from 'vitest';
import { Housekeeping } from '../../src/database/housekeeping.js';
import { Metrics } from '../../src/metrics/metrics.js';
import { OutboxWorker } from '../../src/outbox/outbox.worker.js';
import { useApp } from '../support/test-app.js';

const app = useApp({
  variables: { METRICS_PORT: '0', DEVICE_LIST_RETENTION: '30d', AUDIT_RETENTION: '30d' },
});

/** How many rows have been removed, by what they were, as the metrics say. */
async function removed(): Promise<Record<string, number>> {
  const lines = (await app().nest.get(Metrics).text()).matchAll(
    /^session_housekeeping_rows_removed_total\{what="(\w+)"\} (\d+)$/gm,
  );
  return Object.fromEntries([...lines].map(([, what, count]) => [what!, Number(count)]));
}

const NOTHING_REMOVED = {
  access_tokens: 0,
  audit_entries: 0,
  browser_sessions: 0,
  buried_events: 0,
  challenges: 0,
  delivered_events: 0,
  device_codes: 0,
  device_list_changes: 0,
  ending_jobs: 0,
  login_tokens: 0,
  oauth_clients: 0,
  oauth_grants: 0,
  rate_limit_counters: 0,
  replaced_cross_signing_keys: 0,
};

const OLD = `now() - interval '40 days'`;
const YOUNG = 'now()';
/** Statements that insert a row with a given time into each table. */
const rows = (n: string): Record<string, (at: string) => string> => ({
  access_tokens: (at) => `SELECT '@a:x', sha256(${n}::text::bytea), 'D', false, ${at}, ${at}`,
  login_tokens: (at) => `SELECT '@a:x', sha256(${n}::text::bytea), 'D', ${at} + interval '1 minute'`,
  uia_sessions: (at) =>
    `SELECT ${n}::text, 'POST /x', ${n}::text, '{}'::jsonb, '[]'::jsonb, ${at} + interval '1 minute', NULL::text`,
  device_list_changes: (at) =>
    `SELECT '@a:x', (extract(epoch FROM ${at}) * 1000000)::bigint + ${n}, NULL::bigint, 'device_keys', NULL::text, NULL::text`,
  cross_signing_keys: (at) => `SELECT '@a:x', 'key ' || ${n}, 'master', '{}'::jsonb, ${at}, ${at}`,
  rate_limits: (at) => `SELECT 'x:' || ${n}, 1, ((extract(epoch FROM ${at}) + 60) * 1000)::bigint`,
});

describe('Housekeeping', () => {
  it('deletes all old rows of every kind, and no others, and counts what it deletes from zero', async () => {
    expect(await removed()).toEqual(NOTHING_REMOVED);
    await app().sql(`INSERT INTO accounts (user_id, created_at) VALUES ('@a:x', now())`);
    await app().sql(`INSERT INTO devices (user_id, device_id, created_at) VALUES ('@a:x', 'D', now())`);
    await app().sql(`INSERT INTO device_lists (user_id, position) VALUES ('@a:x', 1)`);
    const tables = Object.keys(rows(''));
    for (const [table, row] of Object.entries(rows('n'))) {
      await app().sql(`INSERT INTO ${table} ${row(OLD)} FROM generate_series(1, 2500) AS n`);
      await app().sql(`INSERT INTO ${table} ${row(YOUNG)} FROM generate_series(10001, 10003) AS n`);
    }
    await app().sql(`
      INSERT INTO access_tokens VALUES ('@a:x', '\\x01', 'D', false, ${OLD}, NULL)`);
    await app().nest.get(Housekeeping).run();
    const left = async (table: string) =>
      (await app().sql<{ count: number }>(`SELECT count(*)::int FROM ${table}`))[0]!.count;
    expect(await Promise.all(tables.map(async (table) => [table, await left(table)]))).toEqual([
      ['access_tokens', 4],
      ['login_tokens', 3],
      ['uia_sessions', 3],
      ['device_list_changes', 3],
      ['cross_signing_keys', 3],
      ['rate_limits', 3],
    ]);
    expect(await removed()).toEqual({
      ...NOTHING_REMOVED,
      access_tokens: 2500,
      login_tokens: 2500,
      challenges: 2500,
      device_list_changes: 2500,
      replaced_cross_signing_keys: 2500,
      rate_limit_counters: 2500,
    });
  });

  it('counts the clients that it deletes, not those that it looks at', async () => {
    const before = await removed();
    await app().sql(`
      INSERT INTO oauth_clients SELECT 'old ' || n, '{}', ${OLD}, ${OLD} FROM generate_series(1, 1500) AS n`);
    // A grant that is still in force keeps its client.
    await app().sql(`
      INSERT INTO oauth_grants (user_id, grant_digest, client_id, scope, device_id, issued_at, expires_at)
      SELECT '@a:x', sha256(n::text::bytea), 'old ' || n, 's', 'D', now(), now() + interval '1 day'
      FROM generate_series(1, 1100) AS n`);
    await app().nest.get(Housekeeping).run();
    expect((await removed())['oauth_clients']! - before['oauth_clients']!).toBe(400);
    const left = await app().sql(`
      SELECT count(*)::int, count(*) FILTER (WHERE last_used_at > now() - interval '1 day')::int AS renewed
      FROM oauth_clients`);
    expect(left).toEqual([{ count: 1100, renewed: 1100 }]);
  });

  it('counts the events that the outbox deletes', async () => {
    const before = await removed();
    for (const [state, count] of [
      ['delivered', 5],
      ['buried', 7],
    ] as const)
      await app().sql(`
        INSERT INTO event_deliveries
          (user_id, subscriber, position, ordinal, event_id, event, payload, occurred_at, state, attempts,
           next_attempt_at, settled_at)
        SELECT '@a:x', 'team', n, 1, '${state} ' || n, 'devices.deleted', '{}', t.at, '${state}', 1, t.at, t.at
        FROM generate_series(1, ${count}) AS n, (SELECT now() - interval '400 days' AS at) AS t`);
    await app().nest.get(OutboxWorker).keepHouse();
    expect(await removed()).toEqual({
      ...before,
      delivered_events: before['delivered_events']! + 5,
      buried_events: before['buried_events']! + 7,
    });
  });

  it('continues with the other chores when one fails', async () => {
    const housekeeping = app().nest.get(Housekeeping);
    const done: string[] = [];
    housekeeping.add('first', async () => {
      throw new Error('no');
    });
    housekeeping.add('second', async () => {
      done.push('second');
      return { looked: 0, removed: 0 };
    });
    await housekeeping.run();
    expect(done).toEqual(['second']);
  });

  it('has an index for each of its conditions', async () => {
    const indexed = await app().sql<{ tablename: string; indexdef: string }>(
      `SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'`,
    );
    const has = (table: string, column: string) =>
      indexed.some(({ tablename, indexdef }) => tablename === table && indexdef.includes(`btree (${column}`));
    for (const [table, column] of [
      ['access_tokens', 'expires_at'],
      ['login_tokens', 'expires_at'],
      ['uia_sessions', 'expires_at'],
      ['device_list_changes', '"position"'],
      ['cross_signing_keys', 'replaced_at'],
      ['rate_limits', 'expire'],
      ['audit_entries', 'at'],
    ] as const)
      expect([table, has(table, column)]).toEqual([table, true]);
  });
});
