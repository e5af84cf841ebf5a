import { describe, expect, it } from 'vitest';
import { type ClientSession, passwordOf, someKeys, V3 } from '../../src/testing/matrix-client.js';
import { usePair } from '../support/pair.js';

const pair = usePair({ variables: { SERVER_ADMINS: '@admin:localhost' } });
const matrix = () => pair().matrix;

/** What Synapse itself says, with whatever it remembers of the token. */
const whoami = (session: ClientSession) => pair().synapse.as(session, 'get', `${V3}/account/whoami`);
const devicesThere = async (session: ClientSession): Promise<string[]> => {
  const { body } = await pair().synapse.as(session, 'get', `${V3}/devices`).expect(200);
  return body.devices.map(({ device_id }: { device_id: string }) => device_id).toSorted();
};
const admin = async () => {
  const session = await pair()
    .app.createUser('admin')
    .catch(() => matrix().login('@admin:localhost'));
  return session;
};

describe('The moment of our 200', () => {
  it('is the moment from which Synapse refuses the token of a logout, though it knew it: 200 of 200', async () => {
    const users = await Promise.all(Array.from({ length: 4 }, () => matrix().register()));
    let accepted = 0;
    const rounds = async ({ userId }: ClientSession) => {
      for (let round = 0; round < 50; round += 1) {
        const own = await matrix().login(userId);
        await whoami(own).expect(200);
        await matrix().logout(own).expect(200);
        const { status, body } = await whoami(own);
        if (status !== 401 || body.errcode !== 'M_UNKNOWN_TOKEN') accepted += 1;
      }
    };
    await Promise.all(users.map(rounds));
    expect(accepted).toBe(0);
  }, 120_000);

  it('has no device, key, pusher or message of the session left there', async () => {
    const [own, friend] = [await matrix().register(), await matrix().register()];
    const stays = await matrix().login(own.userId);
    await matrix().uploadKeys(own, someKeys(own)).expect(200);
    await matrix()
      .call(own, 'post', '/pushers/set')
      .send({
        app_id: 'org.example',
        pushkey: 'key',
        kind: 'http',
        app_display_name: 'Example',
        device_display_name: 'Phone',
        lang: 'en',
        data: { url: 'https://push.example.org/_matrix/push/v1/notify' },
      })
      .expect(200);
    const message = { messages: { [own.userId]: { [own.deviceId]: { secret: 1 } } } };
    await matrix().call(friend, 'put', '/sendToDevice/org.example.secret/1').send(message).expect(200);
    await matrix().logout(own).expect(200);
    expect(await devicesThere(stays)).toEqual([stays.deviceId]);
    expect(await matrix().queryKeys(stays, own.userId)).not.toHaveProperty(own.deviceId);
    const claim = { one_time_keys: { [own.userId]: { [own.deviceId]: 'signed_curve25519' } } };
    const { body: claimed } = await matrix().call(stays, 'post', '/keys/claim').send(claim).expect(200);
    expect(claimed.one_time_keys).toEqual({});
    const { body: pushers } = await matrix().call(stays, 'get', '/pushers').expect(200);
    expect(pushers.pushers).toEqual([]);
    // A device of the same ID is another one: it gets nothing that was sent to the first.
    const reborn = await matrix().login(own.userId, { device_id: own.deviceId });
    const { body: sync } = await matrix().call(reborn, 'get', '/sync?timeout=0').expect(200);
    expect(sync.to_device?.events ?? []).toEqual([]);
    await whoami(own).expect(401);
  });

  it('of a logout of 200 devices has none left there', async () => {
    const own = await matrix().register();
    for (let at = 0; at < 199; at += 10)
      await Promise.all(Array.from({ length: Math.min(10, 199 - at) }, () => matrix().login(own.userId)));
    expect(await devicesThere(own)).toHaveLength(200);
    await matrix().logoutAll(own).expect(200);
    await whoami(own).expect(401);
    const again = await matrix().login(own.userId);
    expect(await devicesThere(again)).toEqual([again.deviceId]);
  }, 120_000);

  it('of deleting devices has them gone there, and no others', async () => {
    const own = await matrix().register();
    const others = [await matrix().login(own.userId), await matrix().login(own.userId)];
    for (const other of others) await whoami(other).expect(200);
    await matrix()
      .call(own, 'post', '/delete_devices')
      .send({ devices: others.map(({ deviceId }) => deviceId), auth: passwordOf(own) })
      .expect(200);
    for (const other of others) await whoami(other).expect(401);
    expect(await devicesThere(own)).toEqual([own.deviceId]);
    const last = await matrix().login(own.userId);
    await matrix()
      .call(own, 'delete', `/devices/${last.deviceId}`)
      .send({ auth: passwordOf(own) })
      .expect(200);
    expect(await devicesThere(own)).toEqual([own.deviceId]);
  });

  it.each([
    [true, 1],
    [false, 2],
  ])('of a change of the password with logout_devices %s leaves %i device there', async (logout, left) => {
    const own = await matrix().register();
    const other = await matrix().login(own.userId);
    await matrix()
      .call(own, 'post', '/account/password')
      .send({ new_password: 'another correct horse', logout_devices: logout, auth: passwordOf(own) })
      .expect(200);
    expect(await devicesThere(own)).toHaveLength(left);
    await whoami(other).expect(logout ? 401 : 200);
  });

  it('of a deactivation leaves no user there who could act', async () => {
    const own = await matrix().register();
    await whoami(own).expect(200);
    await matrix()
      .call(own, 'post', '/account/deactivate')
      .send({ auth: passwordOf(own) })
      .expect(200);
    await whoami(own).expect(401);
    const query = `/_synapse/mas/query_user?localpart=${own.userId.slice(1, own.userId.indexOf(':'))}`;
    const there = await pair().synapse.ask(query).expect(200);
    expect(there.body).toMatchObject({ is_deactivated: true });
  });

  it('of a lock is the moment from which the gate refuses the user, with the keys kept', async () => {
    const own = await matrix().register();
    await matrix().call(own, 'get', '/sync?timeout=0').expect(200);
    const by = await admin();
    const lock = (locked: boolean) =>
      pair()
        .app.http.put(`/_matrix/client/v1/admin/lock/${own.userId}`)
        .auth(by.accessToken, { type: 'bearer' })
        .send({ locked })
        .expect(200);
    await lock(true);
    const { body } = await matrix().call(own, 'get', '/sync?timeout=0').expect(401);
    expect(body).toMatchObject({ errcode: 'M_USER_LOCKED', soft_logout: true });
    await lock(false);
    await matrix().call(own, 'get', '/sync?timeout=0').expect(200);
  });

  it('of a suspension is the moment from which the user cannot send there', async () => {
    const own = await matrix().register();
    const { body: room } = await matrix().call(own, 'post', '/createRoom').send({}).expect(200);
    const by = await admin();
    const suspend = (suspended: boolean) =>
      pair()
        .app.http.put(`/_matrix/client/v1/admin/suspend/${own.userId}`)
        .auth(by.accessToken, { type: 'bearer' })
        .send({ suspended })
        .expect(200);
    const send = (id: number) =>
      matrix()
        .call(own, 'put', `/rooms/${room.room_id}/send/m.room.message/${id}`)
        .send({ msgtype: 'm.text', body: 'Hello' });
    await suspend(true);
    expect((await send(1).expect(403)).body.errcode).toBe('M_USER_SUSPENDED');
    await suspend(false);
    await send(2).expect(200);
  });

  it('of the soft kind keeps the keys: an expired token says so through the gate', async () => {
    const own = await matrix().register({ refresh_token: true });
    pair().app.clock.advance(20 * 60_000);
    const { body } = await matrix().call(own, 'get', '/sync?timeout=0').expect(401);
    expect(body).toMatchObject({ errcode: 'M_UNKNOWN_TOKEN', soft_logout: true });
  });
});

describe('A device that was deleted', () => {
  it('is deleted once more, because an upload that raced the deletion brings it back', async () => {
    const own = await matrix().register();
    const stays = await matrix().login(own.userId);
    await matrix().logout(own).expect(200);
    const localpart = own.userId.slice(1, own.userId.indexOf(':'));
    await pair().synapse.tell('upsert_device', { localpart, device_id: own.deviceId }).expect(201);
    expect(await devicesThere(stays)).toContain(own.deviceId);
    pair().app.clock.advance(6_000);
    await expect.poll(() => devicesThere(stays), { timeout: 10_000 }).toEqual([stays.deviceId]);
  });

  it('gives nothing to a new device of its ID, even if it came back in between', async () => {
    const own = await matrix().register();
    const stays = await matrix().login(own.userId);
    await matrix().logout(own).expect(200);
    const localpart = own.userId.slice(1, own.userId.indexOf(':'));
    await pair().synapse.tell('upsert_device', {
      localpart,
      device_id: own.deviceId,
      display_name: 'Zombie',
    });
    const reborn = await matrix().login(own.userId, { device_id: own.deviceId });
    const { body } = await pair().synapse.as(reborn, 'get', `${V3}/devices/${own.deviceId}`).expect(200);
    expect(body.display_name).not.toBe('Zombie');
    pair().app.clock.advance(6_000);
    await pair().app.drain();
    await whoami(reborn).expect(200);
    await whoami(stays).expect(200);
  });

  it('stays gone, whatever was being uploaded when it was deleted', async () => {
    const stays = await matrix().register();
    for (let round = 0; round < 15; round += 1) {
      const own = await matrix().login(stays.userId);
      await whoami(own).expect(200);
      const uploads = Array.from({ length: 3 }, () =>
        pair().synapse.as(own, 'post', `${V3}/keys/upload`).send(someKeys(own)),
      );
      await Promise.all([...uploads, matrix().logout(own).expect(200)]);
    }
    pair().app.clock.advance(6_000);
    await expect.poll(() => devicesThere(stays), { timeout: 10_000 }).toEqual([stays.deviceId]);
    const keys = await matrix().queryKeys(stays, stays.userId);
    expect(Object.keys(keys ?? {})).toEqual([]);
  }, 60_000);
});
