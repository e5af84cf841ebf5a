import { Injectable, Module } from '@nestjs/common';
import { rm, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { AfterCommit, DevicesDeleted, InTransaction } from '../../src/index.js';
import { Metrics } from '../../src/metrics/metrics.js';
import { MetricsServer } from '../../src/metrics/metrics.server.js';
import { ReconcilerService } from '../../src/reconciler/reconciler.service.js';
import { DeviceTables } from '../../src/device-rows/device-tables.js';
import { type ClientSession, passwordOf, someKeys, V3 } from '../../src/testing/matrix-client.js';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { SigningDevice, SigningUser } from '../support/signing.js';
import { census, NOTHING, TestApp, useApp } from '../support/test-app.js';

let deleted: DevicesDeleted[] = [];
let holdsOnTo = '';
let refusesDelivery = false;
/** Tables with a foreign key to the devices. */
let hanging: string[] = [];

@Injectable()
class TeamSubscriber {
  @AfterCommit(DevicesDeleted, 'team')
  async onDevicesDeleted(event: DevicesDeleted): Promise<void> {
    if (refusesDelivery) throw new Error('not now');
    deleted.push(event);
  }

  @InTransaction(DevicesDeleted)
  async inTransaction({ devices }: DevicesDeleted): Promise<void> {
    if (devices.some(({ userId }) => userId === holdsOnTo)) throw new Error('mine');
  }
}

@Module({ providers: [TeamSubscriber] })
class TeamModule {}

const ADMIN = '@admin:localhost';
const app = useApp({
  extensions: [TeamModule],
  variables: {
    SERVER_ADMINS: ADMIN,
    METRICS_PORT: '0',
    RECONCILE: 'off',
    DEVICE_WITHOUT_TOKEN_TTL: '30d',
    REFRESH_TOKEN_TTL: '10d',
    EVENT_POLL_INTERVAL: '1h',
  },
});
let admin: ClientSession;

beforeAll(async () => {
  admin = await app().createUser('admin');
  // As after a restore of a backup without its constraints.
  const keys = await app().sql<{ table: string; name: string }>(`
    SELECT conrelid::regclass::text AS table, conname AS name FROM pg_constraint
    WHERE contype = 'f' AND confrelid = 'devices'::regclass`);
  hanging = keys.map(({ table }) => table);
  for (const { table, name } of keys) await app().sql(`ALTER TABLE ${table} DROP CONSTRAINT ${name}`);
});

const round = async (query: string, by = admin) =>
  app().http.post(`/_session/v1/admin/reconcile${query}`).auth(by.accessToken, { type: 'bearer' });

function metrics(): Promise<string> {
  const { port } = app().nest.get(MetricsServer, { strict: false });
  return new Promise((resolve, reject) => {
    get(`http://127.0.0.1:${port}/metrics`, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => resolve(text));
    }).on('error', reject);
  });
}

describe('The reconciler', () => {
  it('checks every table that references devices', () => {
    expect(hanging.toSorted()).toEqual(app().nest.get(DeviceTables).all().toSorted());
  });

  it('finds rows of missing devices, repairs them unless it is a dry run, and counts them', async () => {
    const lost = await app().matrix.register({ refresh_token: true });
    const healthy = await app().matrix.register({ refresh_token: true });
    for (const session of [lost, healthy])
      await app().matrix.uploadKeys(session, someKeys(session)).expect(200);
    await app().sql('DELETE FROM devices WHERE user_id = $1', [lost.userId]);
    const before = await census(app(), healthy.userId);

    const dry = await round('');
    expect(dry.body).toMatchObject({ dry_run: true });
    const problems = dry.body.findings.map(({ problem }: { problem: string }) => problem);
    expect(problems.toSorted()).toEqual(
      [
        'access_tokens',
        'device_keys',
        'fallback_keys',
        'one_time_keys',
        'refresh_tokens',
        'session_families',
      ].map((table) => `${table}_without_device`),
    );
    expect(dry.body.findings[0]).toMatchObject({
      found: 1,
      repaired: 0,
      examples: [`${lost.userId} ${lost.deviceId}`],
    });
    expect((await census(app(), lost.userId))['one_time_keys']).toBe(3);

    await round('?dry_run=false');
    expect((await round('')).body).toEqual({ dry_run: true, findings: [] });
    expect(await census(app(), lost.userId)).toEqual(NOTHING);
    expect(await census(app(), healthy.userId)).toEqual(before);
    expect(await metrics()).toMatch(
      /session_reconciler_problems_total\{problem="one_time_keys_without_device",outcome="repaired"\} [1-9]/,
    );
  });

  it('deletes devices without a usable token, as a logout would', async () => {
    const dead = await app().matrix.register();
    const young = await app().matrix.register();
    const alive = await app().matrix.register();
    for (const { userId } of [dead, young])
      await app().sql('DELETE FROM access_tokens WHERE user_id = $1', [userId]);
    await app().sql(
      `UPDATE devices SET created_at = created_at - interval '31 days' WHERE user_id = ANY ($1)`,
      [[dead.userId, alive.userId]],
    );
    deleted = [];
    await round('?dry_run=false');
    await app().drain();
    expect(deleted).toMatchObject([
      { devices: [{ userId: dead.userId, deviceId: dead.deviceId }], reason: 'expired' },
    ]);
    expect((await census(app(), young.userId))['devices']).toBe(1);
    expect((await app().matrix.whoami(alive)).status).toBe(200);
  });

  it.each([
    ['older than REFRESH_TOKEN_TTL allows', `created_at = created_at - interval '41 days'`, 0],
    ['not so old', `created_at = created_at - interval '39 days'`, 1],
    [
      'ended by a replay long ago',
      `ended_reason = 'refresh_replay', rotated_at = rotated_at - interval '31 days'`,
      0,
    ],
    ['ended by a replay just now', `ended_reason = 'refresh_replay'`, 1],
  ])('checks whether a refresh token can still be used: %s', async (_, age, left) => {
    const session = await app().matrix.register({ refresh_token: true });
    const since = `created_at = created_at - interval '90 days'`;
    await app().sql(`UPDATE devices SET ${since} WHERE user_id = $1`, [session.userId]);
    await app().sql('DELETE FROM access_tokens WHERE user_id = $1', [session.userId]);
    await app().sql(`UPDATE refresh_tokens SET ${age} WHERE user_id = $1`, [session.userId]);
    await round('?dry_run=false');
    expect((await census(app(), session.userId))['devices'] ?? 0).toBe(left);
    await app().sql('DELETE FROM devices WHERE user_id = $1', [session.userId]);
    await round('?dry_run=false');
  });

  it('deletes the other devices if a listener fails for one', async () => {
    const [held, dead] = [await app().matrix.register(), await app().matrix.register()];
    const both = [[held.userId, dead.userId]];
    await app().sql('DELETE FROM access_tokens WHERE user_id = ANY ($1)', both);
    await app().sql(
      `UPDATE devices SET created_at = created_at - interval '90 days' WHERE user_id = ANY ($1)`,
      both,
    );
    holdsOnTo = held.userId;
    await round('?dry_run=false');
    expect((await census(app(), held.userId))['devices']).toBe(1);
    expect(await census(app(), dead.userId)).toEqual(NOTHING);
    holdsOnTo = '';
    await round('?dry_run=false');
    expect(await census(app(), held.userId)).toEqual(NOTHING);
  });

  it('delivers events that are stuck', async () => {
    const session = await app().matrix.register();
    await app().drain();
    // As if every node had been down for an hour.
    await app().sql(
      `INSERT INTO event_deliveries
         (user_id, subscriber, position, ordinal, event_id, event, payload, occurred_at, state, attempts, next_attempt_at)
       VALUES ($1, 'team', 1, 1, 'evt_old', 'devices.deleted', '{"devices":[]}', $2, 'pending', 1, $2)`,
      [session.userId, new Date(app().clock.now().getTime() - 60 * 60 * 1_000)],
    );
    const finding = { problem: 'events_stuck', found: 1, examples: ['team evt_old'] };
    refusesDelivery = true;
    expect((await round('?dry_run=false')).body.findings).toEqual([{ ...finding, repaired: 0 }]);
    refusesDelivery = false;
    app().clock.advance(60 * 60 * 1_000);
    expect((await round('?dry_run=false')).body.findings).toEqual([{ ...finding, repaired: 1 }]);
    expect((await round('')).body.findings).toEqual([]);
  });

  it('is for administrators', async () => {
    expect((await round('', await app().matrix.register())).status).toBe(403);
    expect((await round('?dry_run=maybe')).status).toBe(400);
  });
});

describe('The periodic round', () => {
  it('runs on one node at a time, and continues where the previous one ended', async () => {
    const { database } = app();
    const variables = { RECONCILE: 'repair', RECONCILE_INTERVAL: '20ms' };
    await app().sql('DELETE FROM reconciler_rounds');
    const positions = () =>
      app().sql<{ next_at: Date; positions: object }>('SELECT next_at, positions FROM reconciler_rounds');
    const node = await TestApp.start({ database, variables });
    await expect.poll(async () => Object.keys((await positions())[0]?.positions ?? {})).toContain('devices');
    await node.stop();
    // The state that another node has stored.
    const kept = [{ next_at: new Date(Date.now() + 3_000_000), positions: {} }];
    await app().sql('UPDATE reconciler_rounds SET next_at = $1, positions = $2', [kept[0]!.next_at, {}]);
    const other = await TestApp.start({ database, variables: { ...variables, RECONCILE_INTERVAL: '1h' } });
    await other.nest.get(ReconcilerService)['round'](true);
    await other.stop();
    expect(await positions()).toEqual(kept);
    await app().sql('DELETE FROM reconciler_rounds');
  });

  it('does not wait for the times that a longer interval or a dry run has stored', async () => {
    const { database } = app();
    await app().sql('DELETE FROM reconciler_rounds');
    await app().sql(
      `INSERT INTO reconciler_rounds (name, next_at, positions)
       VALUES ('periodic', now() + interval '60 days', '{}'), ('dry_run', now(), '{}')`,
    );
    const node = await TestApp.start({
      database,
      variables: { RECONCILE: 'repair', RECONCILE_INTERVAL: '20ms' },
    });
    const rounds = async () =>
      (
        await app().sql<{ name: string; positions: object }>('SELECT * FROM reconciler_rounds ORDER BY name')
      ).map(({ name, positions }) => [name, Object.keys(positions).length > 0]);
    await expect.poll(rounds).toEqual([
      ['dry_run', false],
      ['periodic', true],
    ]);
    await node.stop();
    await app().sql('DELETE FROM reconciler_rounds');
  });

  it.each([
    ['repair', 0],
    ['dry_run', 1],
  ])('with RECONCILE=%s leaves %d of the rows that it finds', async (RECONCILE, left) => {
    const { database } = app();
    const session = await app().matrix.register();
    await app().sql('DELETE FROM devices WHERE user_id = $1', [session.userId]);
    await app().sql('DELETE FROM reconciler_rounds');
    const node = await TestApp.start({
      database,
      variables: { RECONCILE, RECONCILE_INTERVAL: '20ms', METRICS_PORT: '0' },
    });
    const count = () => app().sql('SELECT FROM access_tokens WHERE user_id = $1', [session.userId]);
    const counted = node.nest.get(Metrics, { strict: false });
    await expect
      .poll(() => counted.text())
      .toMatch(/problem="access_tokens_without_device",outcome="found"\} [1-9]/);
    await node.stop();
    expect(await count()).toHaveLength(left);
  });
});

describe('/metrics', () => {
  it('counts deliveries, and is not served on the port for clients', async () => {
    const text = await metrics();
    expect(text).toMatch(/session_event_deliveries_total\{subscriber="team",outcome="delivered"\} [1-9]/);
    expect(text).toMatch(/session_event_deliveries_pending\{subscriber="team"\} 0/);
    expect(text).toMatch(/session_event_delivery_lag_seconds\{subscriber="team"\} 0/);
    await app().http.get('/metrics').expect(404);
  });
});

describe('An administrator', () => {
  const end = (userId: string, query = '', by = admin) =>
    app()
      .http.post(`/_session/v1/admin/users/${userId}/logout${query}`)
      .auth(by.accessToken, { type: 'bearer' });

  it('ends all sessions of a user, or one of them', async () => {
    const phone = await app().matrix.register();
    const laptop = await app().matrix.login(phone.userId);
    const tablet = await app().matrix.login(phone.userId);
    deleted = [];
    await end(phone.userId, `?device_id=${tablet.deviceId}`).expect(200, {});
    await end(phone.userId, `?device_id=${tablet.deviceId}`).expect(404);
    expect((await app().matrix.whoami(tablet)).status).toBe(401);
    expect((await app().matrix.whoami(phone)).status).toBe(200);
    await end(phone.userId).expect(200, {});
    await end(phone.userId).expect(200, {});
    expect(await census(app(), phone.userId)).toEqual(NOTHING);
    await app().drain();
    expect(deleted.map(({ reason, devices }) => [reason, devices.length])).toEqual([
      ['admin', 1],
      ['admin', 2],
    ]);
    expect((await app().matrix.whoami(laptop)).status).toBe(401);
  });

  it('is required as the caller, and the user must exist', async () => {
    const session = await app().matrix.register();
    await end(session.userId, '', session).expect(403);
    await end('@nobody:localhost').expect(404);
    for (const mistyped of ['?device_id=a&device_id=b', '?device_id=', '?device=A', '?deviceId=A'])
      await end(session.userId, mistyped).expect(400);
    await end(session.userId).send({ device_id: session.deviceId }).expect(400);
    expect((await app().matrix.whoami(session)).status).toBe(200);
  });
});

describe('The reconciler finds nothing', () => {
  it('if all rows are consistent, whatever kinds of rows there are', async () => {
    const directory = await temporaryDirectory();
    const file = join(directory, 'bridge.yaml');
    await writeFile(
      file,
      `{ id: b, as_token: the-as-token, hs_token: h, sender_localpart: b_bot,
         namespaces: { users: [{ exclusive: true, regex: '@b_.*' }] } }`,
    );
    const healthy = await TestApp.start({
      variables: { SERVER_ADMINS: ADMIN, GUESTS: 'allowed', APPSERVICE_FILES: file },
    });
    try {
      const boss = await healthy.createUser('admin');
      const user = await healthy.matrix.register({ refresh_token: true });
      await healthy.matrix.uploadKeys(user, someKeys(user)).expect(200);
      await healthy.matrix.refresh(user.refreshToken!).expect(200);
      const device = new SigningDevice(await healthy.matrix.login(user.userId));
      await healthy.matrix.uploadKeys(device.session, { device_keys: device.deviceKeys() }).expect(200);
      const keys = new SigningUser(user.userId);
      const { master_key: master, ...others } = keys.upload() as Record<string, Record<string, unknown>>;
      const call = (path: string, body: object) =>
        healthy.matrix.call(device.session, 'post', path).send(body);
      await call('/keys/device_signing/upload', { ...others, master_key: device.sign(master!) }).expect(200);
      // Challenges of every kind of caller, and a login token.
      await call('/delete_devices', { devices: [user.deviceId] }).expect(401);
      await healthy.http
        .post(`${V3}/register`)
        .send({ username: 'somebody', password: 'long enough it is' })
        .expect(401);
      await healthy.http
        .post(`${V3}/account/password`)
        .send({ new_password: 'long enough it is' })
        .expect(401);
      await healthy.http.post(`${V3}/register?kind=guest`).send({}).expect(200);
      const asService = (path: string, query: object = {}) =>
        healthy.http.post(`${V3}${path}`).query(query).auth('the-as-token', { type: 'bearer' });
      await asService('/register')
        .send({ type: 'm.login.application_service', username: 'b_ghost' })
        .expect(200);
      const ghost = { user_id: '@b_ghost:localhost' };
      await asService('/account/password', ghost).send({ new_password: 'long enough it is' }).expect(401);
      await healthy.http
        .post('/_matrix/client/v1/login/get_token')
        .auth(device.session.accessToken, { type: 'bearer' })
        .send({ auth: passwordOf(device.session) })
        .expect(200);
      const tables = healthy.nest.get(DeviceTables).all();
      for (const table of tables.filter((name) => name !== 'ending_devices'))
        expect([table, (await healthy.sql(`SELECT FROM ${table} LIMIT 1`)).length]).toEqual([table, 1]);
      const withoutDevice = ['key_signatures', 'uia_sessions'];
      for (const table of withoutDevice)
        expect((await healthy.sql(`SELECT FROM ${table} WHERE device_id IS NULL LIMIT 1`)).length).toBe(1);
      const { body } = await healthy.http
        .post('/_session/v1/admin/reconcile')
        .auth(boss.accessToken, { type: 'bearer' })
        .expect(200);
      expect(body.findings).toEqual([]);
    } finally {
      await healthy.stop();
      await rm(directory, { recursive: true, force: true });
    }
  });
});
