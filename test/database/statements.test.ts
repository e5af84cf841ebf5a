import { Injectable, Module } from '@nestjs/common';
import pg from 'pg';
import { DataSource } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { Housekeeping } from '../../src/database/housekeeping.js';
import { AfterCommit, DevicesDeleted } from '../../src/index.js';
import { OutboxStore } from '../../src/outbox/outbox.store.js';
import { OutboxWorker } from '../../src/outbox/outbox.worker.js';
import { type ClientSession, passwordOf, someKeys } from '../../src/testing/matrix-client.js';
import { useApp } from '../support/test-app.js';

@Injectable()
class TeamSubscriber {
  @AfterCommit(DevicesDeleted, 'team')
  async onDevicesDeleted(): Promise<void> {}
}

@Module({ providers: [TeamSubscriber] })
class TeamModule {}

const app = useApp({ extensions: [TeamModule], variables: { SERVER_ADMINS: '@admin:localhost' } });
const ROWS = 20_000;
const OF_A_FEW_ROWS = 'event_subscriptions';

/** A statement and the values with which it was executed. */
interface Statement {
  readonly name: string;
  readonly text: string;
  readonly values: unknown[];
}

/** Makes the tables so large that the planner never prefers to read a whole table. */
beforeAll(async () => {
  const each = `FROM generate_series(1, ${ROWS}) AS n`;
  await app().sql(`INSERT INTO accounts (user_id, created_at) SELECT '@u' || n || ':x', now() ${each}`);
  await app().sql(
    `INSERT INTO devices (user_id, device_id, created_at) SELECT '@u' || n || ':x', 'D', now() ${each}`,
  );
  for (const [table, row] of Object.entries(ROW_OF)) await app().sql(`INSERT INTO ${table} ${row} ${each}`);
  await app().sql('ANALYZE');
});

const USER = `'@u' || n || ':x'`;
const DIGEST = 'sha256(n::text::bytea)';
const ROW_OF: Record<string, string> = {
  oauth_clients: `(client_id, metadata, registered_at, last_used_at) SELECT 'c' || n, '{}', now(), now()`,
  oauth_grants: `(user_id, grant_digest, client_id, scope, device_id, issued_at, expires_at) SELECT ${USER}, ${DIGEST}, 'c' || n, 's', 'D', now(), now() + interval '1 day'`,
  oauth_device_grants: `(device_code_digest, user_code, client_id, scope, device_id, state, address, issued_at, expires_at, interval_ms) SELECT ${DIGEST}, n, 'c' || n, 's', 'D', 'pending', 'a', now(), now() + interval '1 day', 5000`,
  uia_sessions: `(session_id, operation, user_id, parameters, completed, expires_at) SELECT n, 'POST /x', n, '{}', '[]', now() + interval '1 day'`,
  rate_limits: `(key, points, expire) SELECT 'x:' || n, 1, 4000000000000`,
  browser_sessions: `(user_id, session_digest, created_at, authenticated_at, seen_at, expires_at) SELECT ${USER}, ${DIGEST}, now(), now(), now(), now() + interval '1 day'`,
  access_tokens: `(user_id, token_digest, device_id, confirms_rotation, created_at) SELECT ${USER}, ${DIGEST}, 'D', false, now()`,
  refresh_tokens: `(user_id, device_id, family, current_digest, created_at, rotated_at) SELECT ${USER}, 'D', ${DIGEST}, ${DIGEST}, now(), now()`,
  session_families: `(user_id, family, device_id, started_at) SELECT ${USER}, ${DIGEST}, 'D', now()`,
  // Not expired: housekeeping would empty the table, and the planner would then read it as a whole.
  login_tokens: `(user_id, token_digest, device_id, expires_at) SELECT ${USER}, ${DIGEST}, 'D', now() + interval '1 day'`,
  device_keys: `(user_id, device_id, keys, uploaded_at) SELECT ${USER}, 'D', '{}', now()`,
  one_time_keys: `(user_id, device_id, algorithm, key_id, key, uploaded_at, batch) SELECT ${USER}, 'D', 'a', 'K', '{}', now(), 1`,
  fallback_keys: `(user_id, device_id, algorithm, key_id, key, used, uploaded_at) SELECT ${USER}, 'D', 'a', 'K', '{}', false, now()`,
  key_signatures: `(user_id, signer_user_id, target, key_id, device_id, signature) SELECT ${USER}, ${USER}, 'D', 'K', 'D', 's'`,
  device_lists: `(user_id, position) SELECT ${USER}, n`,
  cross_signing_keys: `(user_id, public_key, usage, key, uploaded_at) SELECT ${USER}, 'P', 'master', '{}', now()`,
  event_deliveries: `(user_id, subscriber, position, ordinal, event_id, event, payload, occurred_at, state, attempts, next_attempt_at, settled_at) SELECT ${USER}, 'other', n, 1, 'evt_' || n, 'devices.deleted', '{}', now(), CASE WHEN n % 100 = 0 THEN 'pending' WHEN n % 100 = 1 THEN 'buried' ELSE 'delivered' END, 1, now(), now()`,
  audit_entries: `(user_id, at, entry_id, action) SELECT ${USER}, now(), n, CASE WHEN n % 100 = 0 THEN 'refused' ELSE 'session_started' END`,
  ending_jobs: `(job_id, filter, actor, state, created_at, updated_at, finished_at) SELECT n, '{}', 'a', 'done', now(), now(), now()`,
  device_list_changes: `(user_id, position, change) SELECT ${USER}, n, 'device_keys'`,
};

/** Returns the named statements that a piece of work executes. */
async function statementsOf(work: () => Promise<unknown>): Promise<Statement[]> {
  const query = vi.spyOn(pg.Client.prototype, 'query');
  try {
    await work();
    const configs = query.mock.calls.map(([config]) => config as unknown as Statement | string);
    return configs.filter(
      (config): config is Statement => typeof config === 'object' && config.name !== undefined,
    );
  } finally {
    query.mockRestore();
  }
}

/** The connections of the service, which plan statements as they do for requests. */
const pool = () => (app().nest.get(DataSource).driver as PostgresDriver).master as pg.Pool;

/** Returns the tables that a plan reads completely: by a sequential scan, or by an index scan without a condition. */
function readWhole(plan: unknown): string[] {
  if (typeof plan !== 'object' || plan === null) return [];
  const {
    'Node Type': type,
    'Relation Name': table,
    'Index Cond': condition,
  } = plan as Record<string, unknown>;
  const isWhole =
    type === 'Seq Scan' || (/^Index (Only )?Scan$/.test(String(type)) && condition === undefined);
  return [...(isWhole ? [String(table)] : []), ...Object.values(plan).flatMap(readWhole)];
}

/** Returns the tables that the generic plan of a statement reads completely. */
async function wholeTables({ text, values }: Statement): Promise<string[]> {
  const client = await pool().connect();
  try {
    // Let the planner choose freely.
    await client.query('SET enable_seqscan = on');
    await client.query(`PREPARE looked AS ${text}`);
    const nulls = values.map(() => 'NULL').join(', ');
    const { rows } = await client.query<{ 'QUERY PLAN': object }>(
      `EXPLAIN (FORMAT JSON) EXECUTE looked ${nulls === '' ? '' : `(${nulls})`}`,
    );
    return readWhole(rows[0]!['QUERY PLAN']).filter((table) => table !== OF_A_FEW_ROWS);
  } finally {
    await client.query('DEALLOCATE looked');
    await client.query('RESET enable_seqscan');
    client.release();
  }
}

describe('Every statement', () => {
  const work: [string, (session: ClientSession) => Promise<unknown>][] = [
    ['login', ({ userId }) => app().matrix.login(userId, { refresh_token: true })],
    ['whoami', (session) => app().matrix.whoami(session)],
    ['refresh', ({ refreshToken }) => app().matrix.refresh(refreshToken!).expect(200)],
    ['key upload', (session) => app().matrix.uploadKeys(session, someKeys(session)).expect(200)],
    ['key query', (session) => app().matrix.queryKeys(session, session.userId)],
    [
      'key claim',
      (session) =>
        app()
          .matrix.call(session, 'post', '/keys/claim')
          .send({ one_time_keys: { [session.userId]: { [session.deviceId]: 'signed_curve25519' } } })
          .expect(200),
    ],
    ['devices', (session) => app().matrix.devices(session)],
    ['logout', (session) => app().matrix.logout(session).expect(200)],
    ['logout of all', (session) => app().matrix.logoutAll(session).expect(200)],
    [
      'deletion',
      (session) =>
        app()
          .matrix.call(session, 'post', '/delete_devices')
          .send({ devices: [session.deviceId], auth: passwordOf(session) })
          .expect(200),
    ],
  ];

  it('of administrators, deliveries and background work reads no whole table', async () => {
    const admin = await app().createUser('admin');
    const get = (path: string) =>
      app().http.get(`/_session/v1/admin/${path}`).auth(admin.accessToken, { type: 'bearer' }).expect(200);
    const statements = await statementsOf(async () => {
      await app()
        .matrix.logout(await app().matrix.register())
        .expect(200);
      await app().drain();
      app().clock.advance(120_000);
      await app().nest.get(OutboxWorker).poll();
      await app().nest.get(OutboxWorker).keepHouse();
      await app().nest.get(Housekeeping).run();
      for (const state of ['pending', 'buried', 'delivered'] as const) await get(`deliveries?state=${state}`);
      for (const state of ['pending', 'buried'] as const) await app().nest.get(OutboxStore).count(state);
      for (const query of ['', '?action=refused', `?user_id=${admin.userId}`]) await get(`audit${query}`);
      await app()
        .http.post('/_session/v1/admin/deliveries/other/replay')
        .auth(admin.accessToken, { type: 'bearer' })
        .expect(200);
    });
    const names = statements.map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining([
        'outbox_append',
        'outbox_lease',
        'outbox_settle',
        'outbox_purge_delivered',
        'outbox_bury_unwanted',
      ]),
    );
    const scans: [string, string[]][] = [];
    for (const statement of statements) {
      const tables = await wholeTables(statement);
      if (tables.length > 0) scans.push([statement.name, tables]);
    }
    expect(scans).toEqual([]);
  });

  it('that read a whole table would be detected', async () => {
    const text = 'SELECT FROM access_tokens WHERE created_at = $1';
    expect(await wholeTables({ name: 'whole', text, values: [null] })).toEqual(['access_tokens']);
  });

  it.each(work)('of a %s finds rows by an index', async (_, act) => {
    const session = await app().matrix.register({ refresh_token: true });
    const statements = await statementsOf(() => act(session));
    expect(statements.length).toBeGreaterThan(0);
    const scans: [string, string[]][] = [];
    for (const statement of statements) {
      const tables = await wholeTables(statement);
      if (tables.length > 0) scans.push([statement.name, tables]);
    }
    expect(scans).toEqual([]);
  });
});
