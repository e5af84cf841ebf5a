import { Injectable, Module } from '@nestjs/common';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DevicesDeleted, InTransaction } from '../../src/index.js';
import { EndingStore } from '../../src/session/ending/ending.store.js';
import { ONE_COMMIT } from '../../src/session/ending/ending.service.js';
import { EndingSweeper } from '../../src/session/ending/ending-sweeper.js';
import { type ClientSession, passwordOf, someKeys, V3 } from '../../src/testing/matrix-client.js';
import { Bystander, lockWaiters } from '../support/interleaving.js';
import { census, NOTHING, TestApp, useApp } from '../support/test-app.js';

/** Devices of each `DevicesDeleted`, by reason. */
const seen: [reason: string, devices: number][] = [];
/** How many more times the listener hangs. */
let hangs = 0;
let refuses: (deviceId: string) => boolean = () => false;

@Injectable()
class SeeingListener {
  @InTransaction(DevicesDeleted)
  async onDevicesDeleted({ devices, reason }: DevicesDeleted): Promise<void> {
    if (hangs > 0) {
      hangs -= 1;
      await new Promise(() => {});
    }
    if (devices.some(({ deviceId }) => refuses(deviceId))) throw new Error('no');
    seen.push([reason, devices.length]);
  }
}

@Module({ providers: [SeeingListener] })
class SeeingModule {}

const app = useApp({
  extensions: [SeeingModule],
  variables: { SERVER_ADMINS: '@admin:localhost', DEVICES_PER_USER: '100000' },
});
/** The limit of most tests here. What happens beyond it is the same as beyond the real limit, and takes less time. */
const LIMIT = 300;
const MANY = LIMIT + 600;
const REAL_LIMIT = { ...ONE_COMMIT };

beforeEach(() => {
  seen.length = 0;
  refuses = () => false;
});

/** Inserts devices directly, as years without limits would leave them, each with a token and keys. */
async function addDevices({ userId }: ClientSession, count: number): Promise<void> {
  const each = 'FROM generate_series(1, $2::int) AS n';
  const values = [userId, count];
  await app().sql(
    `INSERT INTO devices (user_id, device_id, created_at) SELECT $1, 'D' || n, now() ${each}`,
    values,
  );
  await app().sql(
    `INSERT INTO access_tokens SELECT $1, sha256(($1 || n)::bytea), 'D' || n, false, now(), NULL ${each}`,
    values,
  );
  await app().sql(
    `INSERT INTO one_time_keys SELECT $1, 'D' || n, 'curve25519', k::text, '"o"', now(), 1
     ${each}, generate_series(1, 5) AS k`,
    values,
  );
  await app().sql(`INSERT INTO device_keys SELECT $1, 'D' || n, '{}', now() ${each}`, values);
}

async function owner(devices = MANY): Promise<ClientSession> {
  const session = await app().matrix.register({ refresh_token: true });
  await app().matrix.uploadKeys(session, someKeys(session)).expect(200);
  await addDevices(session, devices);
  return session;
}

const sweep = () => app().nest.get(EndingSweeper).sweep();
const tokens = async ({ userId }: ClientSession) =>
  (await app().sql('SELECT FROM access_tokens WHERE user_id = $1', [userId])).length;

const ways: [string, string, (session: ClientSession) => Promise<unknown>][] = [
  ['logout_all', 'logout everywhere', (session) => app().matrix.logoutAll(session).expect(200)],
  [
    'deactivated',
    'deactivation',
    (session) =>
      app()
        .matrix.call(session, 'post', '/account/deactivate')
        .send({ auth: passwordOf(session) })
        .expect(200),
  ],
  [
    'admin',
    'administrator',
    async ({ userId }) => {
      const admin = await app()
        .matrix.login('@admin:localhost')
        .catch(() => app().createUser('admin'));
      await app()
        .http.post(`/_session/v1/admin/users/${userId}/logout`)
        .auth(admin.accessToken, { type: 'bearer' })
        .expect(200);
    },
  ],
];

/**
 * Checks that all tokens are deleted in the first commit, and everything else right after it.
 * @returns how many devices were deleted
 */
async function endInSteps([reason, , end]: (typeof ways)[number], devices: number): Promise<number> {
  const session = await owner(devices);
  // The first step fails, which shows what the commit itself has deleted.
  refuses = () => true;
  await end(session);
  expect(await tokens(session)).toBe(0);
  expect((await app().matrix.whoami(session)).status).toBe(401);
  await app().matrix.refresh(session.refreshToken!).expect(401);
  refuses = () => false;
  await sweep();
  expect(await census(app(), session.userId)).toEqual(NOTHING);
  expect(new Set(seen.map(([one]) => one))).toEqual(new Set([reason]));
  expect(Math.max(...seen.map(([, count]) => count))).toBeLessThanOrEqual(500);
  const audited = await app().sql(
    `SELECT FROM audit_entries WHERE user_id = $1 AND action = 'session_ended' AND reason = $2 AND address = '127.0.0.1'`,
    [session.userId, reason],
  );
  expect(audited).toHaveLength(devices + 1);
  return seen.reduce((sum, [, count]) => sum + count, 0);
}

describe('More devices than one transaction can delete', () => {
  it('at the real limit: everything is deleted', async () => {
    const devices = REAL_LIMIT.devices + 600;
    expect(await endInSteps(ways[0]!, devices)).toBe(devices + 1);
  }, 60_000);
});

describe('More devices than a limit', () => {
  beforeAll(() => {
    ONE_COMMIT.devices = LIMIT;
  });
  afterAll(() => {
    ONE_COMMIT.devices = REAL_LIMIT.devices;
  });

  it.each(ways)(
    '%s: all tokens are deleted in the first commit, and everything else right after it',
    async (...way) => expect(await endInSteps(way, MANY)).toBe(MANY + 1),
    60_000,
  );

  it('a new password keeps the whole calling session', async () => {
    const session = await owner();
    await app()
      .matrix.call(session, 'post', '/account/password')
      .send({ new_password: 'another long phrase', auth: passwordOf(session) })
      .expect(200);
    expect(await tokens(session)).toBe(1);
    await sweep();
    expect(await census(app(), session.userId)).toMatchObject({
      devices: 1,
      access_tokens: 1,
      refresh_tokens: 1,
      device_keys: 1,
      one_time_keys: 3,
    });
    expect((await app().matrix.whoami(session)).status).toBe(200);
  }, 60_000);

  it('only the named devices are deleted', async () => {
    const session = await owner();
    const named = Array.from({ length: ONE_COMMIT.devices + 100 }, (_, at) => `D${at + 1}`);
    await app()
      .matrix.call(session, 'post', '/delete_devices')
      .send({ devices: named, auth: passwordOf(session) })
      .expect(200);
    expect(await tokens(session)).toBe(501);
    await sweep();
    expect((await census(app(), session.userId))['devices']).toBe(501);
  }, 60_000);

  it('another node continues if this one dies in between', async () => {
    const session = await owner();
    const dying = await TestApp.start({ database: app().database });
    const endings = dying.nest.get(EndingSweeper);
    endings.sweep = async () => {};
    await dying.http.post(`${V3}/logout/all`).auth(session.accessToken, { type: 'bearer' }).expect(200);
    await dying.stop();
    expect((await census(app(), session.userId))['devices']).toBe(MANY + 1);
    await sweep();
    expect(await census(app(), session.userId)).toEqual(NOTHING);
  }, 60_000);

  it('a login on a device that is being deleted creates a new one, without the old keys', async () => {
    const session = await owner();
    refuses = (deviceId) => deviceId !== 'D7';
    await app().matrix.logoutAll(session).expect(200);
    const born = await app().matrix.login(session.userId, { device_id: 'D7' });
    expect(await census(app(), session.userId, 'D7')).toMatchObject({
      devices: 1,
      one_time_keys: 0,
      device_keys: 0,
    });
    await app().matrix.uploadKeys(born, someKeys(born)).expect(200);
    refuses = () => false;
    await sweep();
    expect((await app().matrix.whoami(born)).status).toBe(200);
    expect(await census(app(), session.userId)).toMatchObject({
      devices: 1,
      device_keys: 1,
      one_time_keys: 3,
    });
  }, 60_000);

  it('a device that is created again while the others are deleted keeps its keys', async () => {
    const session = await owner(LIMIT + 50);
    refuses = () => true;
    await app().matrix.logoutAll(session).expect(200);
    await sweep();
    refuses = () => false;
    const endings = app().nest.get(EndingSweeper);
    // The devices that a sweep has read before the login.
    const marked = await app().nest.get(EndingStore).first({ userId: session.userId, deviceId: 'D6' }, 500);
    const { deviceId } = marked[0]!;
    const born = await app().matrix.login(session.userId, { device_id: deviceId });
    await app().matrix.uploadKeys(born, someKeys(born)).expect(200);
    await endings['step'](marked);
    expect((await app().matrix.whoami(born)).status).toBe(200);
    expect(await census(app(), session.userId, deviceId)).toMatchObject({ one_time_keys: 3, device_keys: 1 });
    await sweep();
  }, 60_000);

  it('a login that waits for its device to be marked for deletion creates a new one', async () => {
    const session = await app().matrix.register();
    await app().matrix.uploadKeys(session, someKeys(session)).expect(200);
    const bystander = await Bystander.begin(app());
    const device = [session.userId, session.deviceId];
    await bystander.run('SELECT FROM devices WHERE user_id = $1 AND device_id = $2 FOR UPDATE', device);
    await bystander.run(`INSERT INTO ending_devices VALUES ($1, $2, 'admin', NULL)`, device);
    await bystander.run('DELETE FROM access_tokens WHERE user_id = $1 AND device_id = $2', device);
    const login = app().matrix.login(session.userId, { device_id: session.deviceId });
    const waiting = login.then((born) => born);
    await lockWaiters(app(), 1);
    await bystander.commit();
    const born = await waiting;
    await sweep();
    expect((await app().matrix.whoami(born)).status).toBe(200);
    expect(await census(app(), session.userId)).toMatchObject({ devices: 1, one_time_keys: 0 });
  });

  it('a device for which a listener fails does not stop the others', async () => {
    const session = await owner();
    refuses = (deviceId) => deviceId === 'D800';
    await app().matrix.logoutAll(session).expect(200);
    await sweep();
    expect(await census(app(), session.userId)).toMatchObject({ devices: 1, access_tokens: 0 });
    refuses = () => false;
    await sweep();
    expect(await census(app(), session.userId)).toEqual(NOTHING);
  }, 60_000);
});

describe('More keys than one transaction can delete', () => {
  const fill = ({ userId, deviceId }: ClientSession) =>
    app().sql(
      `INSERT INTO one_time_keys SELECT $1, $2, 'curve25519', n::text, '"o"', now(), 1, now()
       FROM generate_series(1, ${ONE_COMMIT.rows + 1}) AS n`,
      [userId, deviceId],
    );

  it('on one device: the session ends at once, and the keys are deleted in batches before the device', async () => {
    const session = await app().matrix.register();
    await fill(session);
    const other = await app().matrix.login(session.userId);
    await app()
      .matrix.call(other, 'post', '/delete_devices')
      .send({ devices: [session.deviceId], auth: passwordOf(session) })
      .expect(200);
    expect((await app().matrix.whoami(session)).status).toBe(401);
    await sweep();
    expect(await census(app(), session.userId)).toMatchObject({ devices: 1, one_time_keys: 0 });
  }, 60_000);

  it('a logout that takes too long is done in steps', async () => {
    ONE_COMMIT.rows = 2_000;
    const slow = await TestApp.start({
      database: app().database,
      extensions: [SeeingModule],
      variables: { EVENT_LISTENER_TIMEOUT: '600ms' },
    });
    try {
      const session = await slow.matrix.register();
      await fill(session);
      // Hang in the shared transaction and in the single one, as if the rows took that long.
      hangs = 2;
      await slow.matrix.logout(session).expect(200);
      expect(hangs).toBe(0);
      expect((await slow.matrix.whoami(session)).status).toBe(401);
      await sweep();
      expect(await census(app(), session.userId)).toEqual(NOTHING);
    } finally {
      ONE_COMMIT.rows = REAL_LIMIT.rows;
      await slow.stop();
    }
  }, 60_000);

  it('a logout that takes too long for another reason changes nothing', async () => {
    const slow = await TestApp.start({
      database: app().database,
      extensions: [SeeingModule],
      variables: { EVENT_LISTENER_TIMEOUT: '600ms' },
    });
    try {
      const session = await slow.matrix.register();
      hangs = 2;
      await slow.matrix.logout(session).expect(500);
      expect((await slow.matrix.whoami(session)).status).toBe(200);
    } finally {
      await slow.stop();
    }
  }, 60_000);
});
