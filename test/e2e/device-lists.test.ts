import { Injectable, Module } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import {
  DeviceListsChanged,
  DeviceListsService,
  InTransaction,
  SharedRooms,
  type SharedRoomsInSpan,
} from '../../src/index.js';
import { type ClientSession, passwordOf, someKeys } from '../../src/testing/matrix-client.js';
import { SigningDevice, SigningUser } from '../support/signing.js';
import { useApp } from '../support/test-app.js';

/** Says who shares a room with whom, as a team's implementation would; by default nobody does. */
class TestRooms extends SharedRooms {
  answer: SharedRoomsInSpan = { sharing: [], began: [], ended: [] };
  readonly asked: [userId: string, from: Date, to: Date][] = [];

  async inSpan(userId: string, from: Date, to: Date): Promise<SharedRoomsInSpan> {
    this.asked.push([userId, from, to]);
    return this.answer;
  }
}

/** Listens for changes in the transaction that makes them. */
@Injectable()
class Listener {
  readonly heard: DeviceListsChanged[] = [];

  @InTransaction(DeviceListsChanged)
  async onChanged(event: DeviceListsChanged): Promise<void> {
    this.heard.push(event);
  }
}

@Module({ providers: [Listener] })
class ListenerModule {}

const rooms = new TestRooms();
const app = useApp({ sharedRooms: rooms, extensions: [ListenerModule] });

/** Returns the user's log: the kind of each change, and its device. */
async function log(userId: string): Promise<string[]> {
  const rows = await app().sql<{ told: string }>(
    `SELECT concat_ws(' ', change, device_id, signed_user_id) AS told FROM device_list_changes
     WHERE user_id = $1 ORDER BY position`,
    [userId],
  );
  return rows.map(({ told }) => told);
}

async function keyed(session: ClientSession): Promise<SigningDevice> {
  const device = new SigningDevice(session);
  await app().matrix.uploadKeys(session, { device_keys: device.deviceKeys() }).expect(200);
  return device;
}

const rename = (session: ClientSession, name: string) =>
  app().matrix.call(session, 'put', `/devices/${session.deviceId}`).send({ display_name: name }).expect(200);

describe('The log of device-list changes', () => {
  it('has one row for each creation, upload, change, rename, signature and deletion, in order', async () => {
    const phone = await app().matrix.register({ device_id: 'PHONE' });
    const { userId } = phone;
    const device = await keyed(phone);
    await app().matrix.uploadKeys(phone, { device_keys: device.deviceKeys() }).expect(200);
    await app()
      .matrix.uploadKeys(phone, { device_keys: device.deviceKeys({ extra: 1 }) })
      .expect(200);
    await rename(phone, 'Pocket');
    await rename(phone, 'Pocket');
    await app().matrix.login(userId, { device_id: 'PHONE' });
    const again = await app().matrix.login(userId, { device_id: 'PHONE' });
    const keys = new SigningUser(userId);
    const upload = (body: object) =>
      app().matrix.call(again, 'post', '/keys/device_signing/upload').send(body);
    await upload(keys.upload()).expect(200);
    await upload(keys.upload()).expect(200);
    const signed = keys.selfSigning.sign(device.deviceKeys({ extra: 1 }), userId);
    const sign = (body: object) => app().matrix.call(again, 'post', '/keys/signatures/upload').send(body);
    await sign({ [userId]: { PHONE: signed } }).expect(200, { failures: {} });
    await sign({ [userId]: { PHONE: signed } }).expect(200, { failures: {} });
    await app().matrix.logout(again).expect(200);
    expect(await log(userId)).toEqual([
      'device_created PHONE',
      'device_keys PHONE',
      'device_keys PHONE',
      'device_renamed PHONE',
      'cross_signing_keys',
      'user_signing_key',
      'device_signed PHONE',
      'device_deleted PHONE',
    ]);
  });

  it('links each device change to the previous one, skipping changes that other servers never see', async () => {
    const phone = await app().matrix.register({ device_id: 'PHONE' });
    const keys = new SigningUser(phone.userId);
    await app().matrix.call(phone, 'post', '/keys/device_signing/upload').send(keys.upload()).expect(200);
    await rename(phone, 'Pocket');
    const rows = await app().sql<Record<string, string | null>>(
      'SELECT change, position, previous_position FROM device_list_changes WHERE user_id = $1 ORDER BY position',
      [phone.userId],
    );
    expect(rows.map(({ change, previous_position }) => [change, previous_position])).toEqual([
      ['device_created', null],
      ['cross_signing_keys', null],
      ['user_signing_key', null],
      ['device_renamed', rows[0]!['position']],
    ]);
  });

  it('has no row for one-time and fallback keys', async () => {
    const session = await app().matrix.register({ device_id: 'D' });
    const { one_time_keys, fallback_keys } = someKeys(session);
    await app().matrix.uploadKeys(session, { one_time_keys, fallback_keys }).expect(200);
    const claim = { one_time_keys: { [session.userId]: { D: 'signed_curve25519' } } };
    await app().matrix.call(session, 'post', '/keys/claim').send(claim).expect(200);
    expect(await log(session.userId)).toEqual(['device_created D']);
  });

  it('links each position of a user to the previous one, even if several devices are deleted at once', async () => {
    const phone = await app().matrix.register({ device_id: 'PHONE' });
    for (const device_id of ['A', 'B', 'C']) await app().matrix.login(phone.userId, { device_id });
    await app().matrix.logoutAll(phone).expect(200);
    const again = await app().matrix.login(phone.userId, { device_id: 'PHONE' });
    await app()
      .matrix.call(again, 'delete', '/devices/PHONE')
      .send({ auth: passwordOf(again) })
      .expect(200);
    const rows = await app().sql<{ position: string; previous_position: string | null }>(
      'SELECT position, previous_position FROM device_list_changes WHERE user_id = $1 ORDER BY position',
      [phone.userId],
    );
    expect(rows).toHaveLength(10);
    expect(rows.map((row) => row.previous_position)).toEqual([
      null,
      ...rows.slice(0, -1).map(({ position }) => position),
    ]);
  });

  it('stays in order when many changes of one user arrive at once', async () => {
    const phone = await app().matrix.register();
    const logins = Array.from({ length: 12 }, () => app().matrix.login(phone.userId));
    const sessions = await Promise.all(logins);
    await Promise.all(sessions.map((session) => app().matrix.logout(session)));
    const rows = await app().sql<{ position: string; previous_position: string | null }>(
      'SELECT position, previous_position FROM device_list_changes WHERE user_id = $1 ORDER BY position',
      [phone.userId],
    );
    expect(rows).toHaveLength(25);
    expect(rows.map((row) => row.previous_position)).toEqual([
      null,
      ...rows.slice(0, -1).map(({ position }) => position),
    ]);
  });

  it('is published to listeners, in the transaction, as a value that survives JSON', async () => {
    const { heard } = app().nest.get(Listener);
    heard.splice(0);
    const session = await app().matrix.register({ device_id: 'D' });
    await app().matrix.logout(session).expect(200);
    const [created, deleted] = JSON.parse(JSON.stringify(heard));
    const change = { userId: session.userId, deviceId: 'D', signedUserId: null };
    expect([created, deleted]).toEqual([
      {
        changes: [
          { ...change, change: 'device_created', position: expect.any(Number), previousPosition: null },
        ],
        changedTs: expect.any(Number),
      },
      {
        changes: [
          {
            ...change,
            change: 'device_deleted',
            position: expect.any(Number),
            previousPosition: created.changes[0].position,
          },
        ],
        changedTs: expect.any(Number),
      },
    ]);
  });

  it('drops rows older than DEVICE_LIST_RETENTION on the next change of the user', async () => {
    const session = await app().matrix.register({ device_id: 'D' });
    app().clock.advance(91 * 24 * 60 * 60 * 1_000);
    await rename(session, 'Old');
    expect(await log(session.userId)).toEqual(['device_renamed D']);
  });
});

describe('GET /keys/changes', () => {
  const token = () => app().nest.get(DeviceListsService).token();
  const changes = (session: ClientSession, from: string, to: string) =>
    app().matrix.call(session, 'get', '/keys/changes').query({ from, to });
  /** A token lags by a minute, so it covers everything that happened before two minutes have passed. */
  const later = () => {
    app().clock.advance(120_000);
    return token();
  };

  it('returns the requesting user, and only for changes between the two tokens', async () => {
    const session = await app().matrix.register();
    const before = token();
    const afterLogin = later();
    await keyed(session);
    const afterUpload = later();
    const quiet = later();
    const asked = async (from: string, to: string) => (await changes(session, from, to).expect(200)).body;
    const own = { changed: [session.userId], left: [] };
    expect(await asked(before, afterLogin)).toEqual(own);
    expect(await asked(afterLogin, afterUpload)).toEqual(own);
    expect(await asked(before, quiet)).toEqual(own);
    expect(await asked(afterUpload, quiet)).toEqual({ changed: [], left: [] });
  });

  it('misses no change, whether it was committed before or after the token was issued', async () => {
    const session = await app().matrix.register();
    const from = later();
    await keyed(session);
    const to = token();
    await rename(session, 'Pocket');
    const end = later();
    const first = await changes(session, from, to).expect(200);
    const second = await changes(session, to, end).expect(200);
    expect([...first.body.changed, ...second.body.changed]).toContain(session.userId);
    expect(second.body.changed).toEqual([session.userId]);
  });

  it('returns changes of the users who share a room with the requester', async () => {
    const alice = await app().matrix.register();
    const [bob, carol, dave] = [
      await app().matrix.register(),
      await app().matrix.register(),
      await app().matrix.register(),
    ];
    const from = later();
    await keyed(bob);
    await keyed(carol);
    const to = later();
    expect((await changes(alice, from, to).expect(200)).body).toEqual({ changed: [], left: [] });
    rooms.answer = {
      sharing: [bob.userId, dave.userId, '@erin:elsewhere.org'],
      began: ['@erin:elsewhere.org'],
      ended: ['@frank:localhost'],
    };
    const { body } = await changes(alice, from, to).expect(200);
    rooms.answer = { sharing: [], began: [], ended: [] };
    expect(body).toEqual({ changed: [bob.userId, '@erin:elsewhere.org'], left: ['@frank:localhost'] });
    const [userId, since, until] = rooms.asked.at(-1)!;
    expect(userId).toBe(alice.userId);
    expect([since, until].map((at) => `mdl_${at.getTime() * 1_000}`)).toEqual([from, to]);
  });

  it('returns the users whom the requester has signed, to the requester only', async () => {
    const alice = await app().matrix.register();
    const bob = await app().matrix.register();
    const keysOf = async (session: ClientSession) => {
      const keys = new SigningUser(session.userId);
      await app().matrix.call(session, 'post', '/keys/device_signing/upload').send(keys.upload()).expect(200);
      return keys;
    };
    const [alices, bobs] = [await keysOf(alice), await keysOf(bob)];
    const from = later();
    const signed = alices.userSigning.sign(bobs.masterKey(), alice.userId);
    await app()
      .matrix.call(alice, 'post', '/keys/signatures/upload')
      .send({ [bob.userId]: { [bobs.master.publicKey]: signed } })
      .expect(200, { failures: {} });
    const to = later();
    expect((await changes(alice, from, to).expect(200)).body.changed).toEqual([bob.userId]);
    rooms.answer = { sharing: [alice.userId], began: [], ended: [] };
    const told = (await changes(bob, from, to).expect(200)).body.changed;
    rooms.answer = { sharing: [], began: [], ended: [] };
    expect(told).toEqual([]);
  });

  it('returns everybody as changed for a token that is older than the log', async () => {
    const session = await app().matrix.register();
    const from = token();
    app().clock.advance(91 * 24 * 60 * 60 * 1_000);
    expect((await changes(session, from, token()).expect(200)).body.changed).toEqual([session.userId]);
  });

  it.each([
    's72594_4483_1934',
    'mdl_',
    'mdl_x',
    'mdl_-1',
    'mdl_9999999999999999',
    '',
    'mdl_12345678901234567',
  ])('refuses "%s", which is not a token of this service', async (foreign) => {
    const session = await app().matrix.register();
    for (const [from, to] of [
      [foreign, token()],
      [token(), foreign],
    ] as const) {
      const { body } = await changes(session, from, to).expect(400);
      expect(body).toMatchObject({ errcode: 'M_INVALID_PARAM' });
    }
  });

  it('requires the tokens in the right order', async () => {
    const session = await app().matrix.register();
    const [first, second] = [later(), later()];
    await changes(session, first, first).expect(200);
    expect((await changes(session, second, first).expect(400)).body).toMatchObject({
      errcode: 'M_INVALID_PARAM',
    });
  });

  it('requires both tokens, each once', async () => {
    const session = await app().matrix.register();
    const call = (query: string) => app().matrix.call(session, 'get', `/keys/changes?${query}`).expect(400);
    const one = `from=${token()}`;
    expect((await call(one)).body).toMatchObject({ errcode: 'M_MISSING_PARAM' });
    expect((await call(`to=${token()}`)).body).toMatchObject({ errcode: 'M_MISSING_PARAM' });
    expect((await call(`${one}&${one}&to=${token()}`)).body).toMatchObject({ errcode: 'M_INVALID_PARAM' });
  });
});
