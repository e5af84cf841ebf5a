import { describe, expect, it } from 'vitest';
import { Housekeeping } from '../../src/database/housekeeping.js';
import { useApp } from '../support/test-app.js';

const app = useApp({ variables: { DEVICE_LIST_RETENTION: '30d', AUDIT_RETENTION: '30d' } });

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
  it('deletes all old rows of every kind, and no others', async () => {
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
  });

  it('continues with the other chores when one fails', async () => {
    const housekeeping = app().nest.get(Housekeeping);
    const done: string[] = [];
    housekeeping.add('first', async () => {
      throw new Error('no');
    });
    housekeeping.add('second', async () => done.push('second') && 0);
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
