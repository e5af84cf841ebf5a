import { describe, expect, it } from 'vitest';
import { LastSeenService } from '../../src/devices/last-seen.service.js';
import { Bystander, lockWaiters } from '../support/interleaving.js';
import { type ClientSession, passwordOf, someKeys, V3 } from '../../src/testing/matrix-client.js';
import { createDatabase } from '../support/database.js';
import { census, NOTHING, TestApp, useApp } from '../support/test-app.js';

const app = useApp();

const path = (deviceId: string) => `/devices/${encodeURIComponent(deviceId)}`;
const ODD_IDS = [
  'PLAIN',
  'with/slash',
  'with+plus',
  'with%percent',
  'with%2Fboth',
  'with:colon',
  'with space',
  'with?question#hash',
  'äöü',
  '日本',
  '__proto__',
];

/** A user with a phone and these other devices, all with keys. */
async function userWith(...deviceIds: string[]): Promise<ClientSession[]> {
  const phone = await app().matrix.register({ device_id: 'PHONE', refresh_token: true });
  const others: ClientSession[] = [];
  for (const device_id of deviceIds) others.push(await app().matrix.login(phone.userId, { device_id }));
  const sessions = [phone, ...others];
  for (const session of sessions) await app().matrix.uploadKeys(session, someKeys(session)).expect(200);
  return sessions;
}

async function idsOf(session: ClientSession): Promise<string[]> {
  return (await app().matrix.devices(session)).map(({ device_id }) => device_id);
}

describe('GET /devices', () => {
  it('lists only the devices of the user', async () => {
    const phone = await app().matrix.register({
      device_id: 'PHONE',
      initial_device_display_name: 'My phone',
    });
    await app().matrix.register();
    await app().matrix.login(phone.userId, { device_id: 'LAPTOP' });
    expect(await app().matrix.devices(phone)).toEqual([
      { device_id: 'PHONE', display_name: 'My phone' },
      { device_id: 'LAPTOP' },
    ]);
  });

  it('returns when and where each device was last seen, at once on the node that saw it', async () => {
    const phone = await app().matrix.register({ device_id: 'PHONE' });
    await app().matrix.login(phone.userId, { device_id: 'NEVER-SEEN' });
    const before = app().clock.now().getTime();
    const { body } = await app().matrix.call(phone, 'get', '/devices').expect(200);
    expect(body.devices).toEqual([
      { device_id: 'PHONE', last_seen_ip: '127.0.0.1', last_seen_ts: expect.any(Number) },
      { device_id: 'NEVER-SEEN' },
    ]);
    expect(body.devices[0].last_seen_ts).toBeGreaterThanOrEqual(before);
  });
});

describe('The last-seen time of a device', () => {
  const row = async ({ userId, deviceId }: ClientSession) => {
    const [found] = await app().sql(
      `SELECT last_seen_at, last_seen_ip, last_seen_user_agent FROM devices WHERE user_id = $1 AND device_id = $2`,
      [userId, deviceId],
    );
    return found!;
  };
  const seen = (session: ClientSession, agent: string) =>
    app().matrix.call(session, 'get', '/account/whoami').set('User-Agent', agent).expect(200);

  it('is written later, with address and user agent, and never moves backwards', async () => {
    const phone = await app().matrix.register();
    await seen(phone, 'Fractal/9');
    expect(await row(phone)).toMatchObject({ last_seen_at: null });
    await app().nest.get(LastSeenService).flush();
    const first = await row(phone);
    expect(first).toEqual({
      last_seen_at: expect.any(Date),
      last_seen_ip: '127.0.0.1',
      last_seen_user_agent: 'Fractal/9',
    });
    await app().sql(`UPDATE devices SET last_seen_at = '2999-01-01' WHERE user_id = $1`, [phone.userId]);
    await seen(phone, 'Older/1');
    await app().nest.get(LastSeenService).flush();
    expect(await row(phone)).toMatchObject({ last_seen_user_agent: 'Fractal/9' });
  });

  it('is written when the service stops', async () => {
    const database = await createDatabase();
    const first = await TestApp.start({ database });
    const phone = await first.matrix.register({ device_id: 'PHONE' });
    await first.matrix.call(phone, 'get', '/account/whoami').expect(200);
    await first.stop();
    const second = await TestApp.start({ database });
    const rows = await second.sql('SELECT last_seen_ip FROM devices');
    await second.stop();
    await database.drop();
    expect(rows).toEqual([{ last_seen_ip: '127.0.0.1' }]);
  });

  it('is not attributed to a newer device with the same ID', async () => {
    const phone = await app().matrix.register({ device_id: 'PHONE' });
    const laptop = await app().matrix.login(phone.userId);
    await seen(phone, 'Fractal/9');
    // Deleted as by another node, so this node still remembers the last-seen time.
    await app().sql(`DELETE FROM devices WHERE user_id = $1 AND device_id = 'PHONE'`, [phone.userId]);
    app().clock.advance(1_000);
    await app().matrix.login(phone.userId, { device_id: 'PHONE' });
    const { body } = await app().matrix.call(laptop, 'get', '/devices/PHONE').expect(200);
    expect(body).toEqual({ device_id: 'PHONE' });
    await app().nest.get(LastSeenService).flush();
    expect(await row(phone)).toMatchObject({ last_seen_at: null });
  });

  it('is written without waiting for a locked device', async () => {
    const [phone, laptop] = await userWith('LAPTOP');
    await seen(phone!, 'Fractal/9');
    await seen(laptop!, 'Fractal/9');
    const bystander = await Bystander.begin(app());
    await bystander.run('SELECT FROM devices WHERE user_id = $1 AND device_id = $2 FOR UPDATE', [
      phone!.userId,
      phone!.deviceId,
    ]);
    await app().nest.get(LastSeenService).flush();
    await bystander.commit();
    expect(await row(laptop!)).toMatchObject({ last_seen_user_agent: 'Fractal/9' });
    expect(await row(phone!)).toMatchObject({ last_seen_at: null });
    await app().nest.get(LastSeenService).flush();
    expect(await row(phone!)).toMatchObject({ last_seen_user_agent: 'Fractal/9' });
  });

  it('is kept in memory for the latest ten thousand devices only', async () => {
    const service = app().nest.get(LastSeenService);
    await service.flush();
    const createdAt = new Date();
    const device = (n: number) => ({ userId: '@nobody:localhost', deviceId: `D${n}`, createdAt });
    for (let n = 0; n < 10_005; n += 1) service.see(device(n), '192.0.2.1', undefined);
    const remembered = (n: number) =>
      service.upToDate({ ...device(n), lastSeenIp: null } as never).lastSeenIp !== null;
    expect([0, 4, 5, 10_004].map(remembered)).toEqual([false, false, true, true]);
    // None of the devices exists, so none is written. After two attempts they are forgotten.
    await service.flush();
    await service.flush();
    expect(remembered(10_004)).toBe(false);
  });
});

describe('GET /devices/{deviceId}', () => {
  it.each(ODD_IDS)('finds the device "%s"', async (device_id) => {
    const session = await app().matrix.register({ device_id });
    const { body } = await app().matrix.call(session, 'get', path(device_id)).expect(200);
    expect(body).toEqual({
      device_id,
      last_seen_ip: '127.0.0.1',
      last_seen_ts: expect.any(Number),
    });
  });

  it.each(['get', 'put', 'delete'] as const)(
    '%s answers a path that cannot be decoded with 400',
    async (method) => {
      const session = await app().matrix.register();
      const { body } = await app().matrix.call(session, method, '/devices/%zz').expect(400);
      expect(body).toEqual({ errcode: 'M_INVALID_PARAM', error: expect.any(String) });
    },
  );

  it('answers 404 M_NOT_FOUND for a device that does not exist or belongs to another user', async () => {
    const other = await app().matrix.register({ device_id: 'THEIRS' });
    const session = await app().matrix.register();
    for (const deviceId of ['NONE', other.deviceId]) {
      const answer = await app().matrix.call(session, 'get', path(deviceId));
      expect(answer).toMatchObject({ status: 404, body: { errcode: 'M_NOT_FOUND' } });
    }
  });
});

describe('PUT /devices/{deviceId}', () => {
  const nameOf = async (session: ClientSession) => (await app().matrix.devices(session))[0]!.display_name;

  it.each(ODD_IDS)('renames the device "%s"', async (device_id) => {
    const session = await app().matrix.register({ device_id });
    const call = app().matrix.call(session, 'put', path(device_id));
    await call.send({ display_name: 'New' }).expect(200, {});
    expect(await nameOf(session)).toBe('New');
  });

  it('changes nothing without a name, and accepts at most a hundred characters', async () => {
    const session = await app().matrix.register({
      device_id: 'D',
      initial_device_display_name: 'Old',
    });
    const put = (body: object) => app().matrix.call(session, 'put', '/devices/D').send(body);
    await put({}).expect(200, {});
    await put({ display_name: null }).expect(200, {});
    expect((await put({ display_name: 'x'.repeat(101) }).expect(400)).body).toMatchObject({
      errcode: 'M_TOO_LARGE',
    });
    expect((await put({ display_name: 7 }).expect(400)).body).toMatchObject({ errcode: 'M_BAD_JSON' });
    expect(await nameOf(session)).toBe('Old');
    await put({ display_name: '😀'.repeat(100) }).expect(200, {});
    await put({ display_name: '😀'.repeat(101) }).expect(400);
    await put({ display_name: 'x'.repeat(100) }).expect(200, {});
    expect(await nameOf(session)).toBe('x'.repeat(100));
    await put({ display_name: '' }).expect(200, {});
    expect(await nameOf(session)).toBe('');
  });

  it('shows the new name to others, with the keys', async () => {
    const [session] = await userWith();
    await app().matrix.call(session!, 'put', '/devices/PHONE').send({ display_name: 'Pocket' }).expect(200);
    const other = await app().matrix.register();
    expect(await app().matrix.queryKeys(other, session!.userId)).toMatchObject({
      PHONE: { unsigned: { device_display_name: 'Pocket' } },
    });
  });

  it('is 404 M_NOT_FOUND for an unknown device: only application services can create one', async () => {
    const session = await app().matrix.register();
    const call = app().matrix.call(session, 'put', '/devices/NONE').send({ display_name: 'x' });
    expect((await call.expect(404)).body).toMatchObject({ errcode: 'M_NOT_FOUND' });
    expect(await idsOf(session)).toEqual([session.deviceId]);
  });
});

describe('DELETE /devices/{deviceId}', () => {
  it('asks for the password, even without a body, and then deletes device, tokens and keys', async () => {
    const [phone, laptop] = await userWith('LAPTOP');
    const challenge = await app().matrix.call(phone!, 'delete', '/devices/LAPTOP').expect(401);
    expect(challenge.body).toEqual({
      flows: [{ stages: ['m.login.password'] }],
      params: {},
      session: expect.any(String),
    });
    expect(await idsOf(phone!)).toEqual(['PHONE', 'LAPTOP']);
    const auth = { ...passwordOf(phone!), session: challenge.body.session };
    await app().matrix.call(phone!, 'delete', '/devices/LAPTOP').send({ auth }).expect(200, {});
    expect(await app().matrix.whoami(laptop!)).toMatchObject({ status: 401 });
    expect((await app().matrix.whoami(laptop!)).body).not.toHaveProperty('soft_logout');
    expect(await census(app(), laptop!.userId, 'LAPTOP')).toEqual(NOTHING);
    expect(await idsOf(phone!)).toEqual(['PHONE']);
    expect(await app().matrix.whoami(phone!)).toMatchObject({ status: 200 });
  });

  it.each(ODD_IDS)('deletes the device "%s" in one request that contains the password', async (device_id) => {
    const phone = await app().matrix.register();
    await app().matrix.login(phone.userId, { device_id });
    await app()
      .matrix.call(phone, 'delete', path(device_id))
      .send({ auth: passwordOf(phone) })
      .expect(200, {});
    expect(await idsOf(phone)).toEqual([phone.deviceId]);
  });

  it('can delete the calling device, which ends its token', async () => {
    const [phone] = await userWith();
    await app()
      .matrix.call(phone!, 'delete', '/devices/PHONE')
      .send({ auth: passwordOf(phone!) })
      .expect(200);
    expect(await app().matrix.whoami(phone!)).toMatchObject({ status: 401 });
    expect(await census(app(), phone!.userId)).toEqual(NOTHING);
  });

  it('is 200 for a device that was deleted or never existed', async () => {
    const [phone] = await userWith('LAPTOP');
    for (const deviceId of ['LAPTOP', 'LAPTOP', 'NEVER']) {
      await app()
        .matrix.call(phone!, 'delete', path(deviceId))
        .send({ auth: passwordOf(phone!) })
        .expect(200, {});
    }
    expect(await idsOf(phone!)).toEqual(['PHONE']);
  });

  it("never deletes another user's device with the same ID", async () => {
    const [mine] = await userWith('LAPTOP');
    const [theirs] = await userWith('LAPTOP');
    await app()
      .matrix.call(mine!, 'delete', '/devices/LAPTOP')
      .send({ auth: passwordOf(mine!) })
      .expect(200);
    expect(await idsOf(theirs!)).toEqual(['PHONE', 'LAPTOP']);
  });

  it("refuses another user's credentials with 403, and keeps the device", async () => {
    const [phone] = await userWith('LAPTOP');
    const other = await app().matrix.register();
    const call = app()
      .matrix.call(phone!, 'delete', '/devices/LAPTOP')
      .send({ auth: passwordOf(other) });
    expect((await call.expect(403)).body).toMatchObject({ errcode: 'M_FORBIDDEN' });
    expect(await idsOf(phone!)).toEqual(['PHONE', 'LAPTOP']);
  });

  it('answers a wrong password with the challenge again, and M_FORBIDDEN', async () => {
    const [phone] = await userWith('LAPTOP');
    const auth = passwordOf(phone!, 'wrong');
    const answer = await app().matrix.call(phone!, 'delete', '/devices/LAPTOP').send({ auth }).expect(401);
    expect(answer.body).toMatchObject({ errcode: 'M_FORBIDDEN', flows: [{ stages: ['m.login.password'] }] });
    expect(await idsOf(phone!)).toEqual(['PHONE', 'LAPTOP']);
  });

  it('does not accept authentication for one device to delete another', async () => {
    const [phone] = await userWith('LAPTOP', 'TABLET');
    const { body } = await app().matrix.call(phone!, 'delete', '/devices/LAPTOP').expect(401);
    const auth = { ...passwordOf(phone!), session: body.session };
    await app().matrix.call(phone!, 'delete', '/devices/TABLET').send({ auth }).expect(403);
    expect(await idsOf(phone!)).toEqual(['PHONE', 'LAPTOP', 'TABLET']);
  });
});

describe('POST /delete_devices', () => {
  const remove = (session: ClientSession, body: object) =>
    app().matrix.call(session, 'post', '/delete_devices').send(body);

  it('deletes many devices with one authentication, ignoring unknown and repeated IDs', async () => {
    const [phone, a, b] = await userWith('A', 'B', 'C');
    const devices = ['A', 'B', 'A', 'NEVER'];
    const challenge = await remove(phone!, { devices }).expect(401);
    expect(challenge.body.flows).toEqual([{ stages: ['m.login.password'] }]);
    const auth = { ...passwordOf(phone!), session: challenge.body.session };
    await remove(phone!, { devices, auth }).expect(200, {});
    expect(await idsOf(phone!)).toEqual(['PHONE', 'C']);
    for (const gone of [a!, b!]) {
      expect(await app().matrix.whoami(gone)).toMatchObject({ status: 401 });
      expect(await census(app(), gone.userId, gone.deviceId)).toEqual(NOTHING);
    }
  });

  it('deletes the devices of the first request if the second one contains only auth', async () => {
    const [phone] = await userWith('A', 'B');
    const { body } = await remove(phone!, { devices: ['A'] }).expect(401);
    await remove(phone!, { auth: { ...passwordOf(phone!), session: body.session } }).expect(200);
    expect(await idsOf(phone!)).toEqual(['PHONE', 'B']);
  });

  it('refuses to delete devices that the first request did not name', async () => {
    const [phone] = await userWith('A', 'B', 'C');
    const { body } = await remove(phone!, { devices: ['A', 'B'] }).expect(401);
    const auth = { ...passwordOf(phone!), session: body.session };
    const refused = await remove(phone!, { devices: ['C'], auth }).expect(403);
    expect(refused.body).toMatchObject({ errcode: 'M_FORBIDDEN' });
    expect(await idsOf(phone!)).toEqual(['PHONE', 'A', 'B', 'C']);
    await remove(phone!, { devices: ['B', 'A', 'B'], auth }).expect(200);
    await remove(phone!, { devices: ['C'], auth }).expect(403);
    expect(await idsOf(phone!)).toEqual(['PHONE', 'C']);
  });

  it('answers a repeated request, and keeps a device that was created in the meantime', async () => {
    const [phone] = await userWith('A', 'B');
    const { body } = await remove(phone!, { devices: ['A', 'B'] }).expect(401);
    const auth = { ...passwordOf(phone!), session: body.session };
    await remove(phone!, { auth }).expect(200);
    await app().matrix.login(phone!.userId, { device_id: 'A' });
    await remove(phone!, { devices: ['A', 'B'], auth }).expect(200, {});
    await remove(phone!, { auth: { session: body.session } }).expect(200, {});
    expect(await idsOf(phone!)).toEqual(['PHONE', 'A']);
  });

  it('refuses one of two devices that delete each other with M_UNKNOWN_TOKEN', async () => {
    for (let round = 0; round < 5; round += 1) {
      const [phone] = await userWith();
      const laptop = await app().matrix.login(phone!.userId, { device_id: 'LAPTOP' });
      const challenges = [
        [phone!, laptop],
        [laptop, phone!],
      ] as const;
      const answers = await Promise.all(
        challenges.map(async ([own, other]) => {
          const { body } = await remove(own, { devices: [other.deviceId] });
          return [own, { ...passwordOf(own), session: body.session }] as const;
        }),
      );
      const results = await Promise.all(answers.map(([own, auth]) => remove(own, { auth })));
      expect(results.map(({ status }) => status).toSorted()).toEqual([200, 401]);
      const loser = results.find(({ status }) => status === 401)!;
      expect(loser.body).toMatchObject({ errcode: 'M_UNKNOWN_TOKEN' });
    }
  });

  it('waits for a concurrent deletion of the calling device, and is then refused', async () => {
    const [phone] = await userWith();
    const laptop = await app().matrix.login(phone!.userId, { device_id: 'LAPTOP' });
    const { body } = await remove(phone!, { devices: [laptop.deviceId] });
    const bystander = await Bystander.begin(app());
    const own = [phone!.userId, phone!.deviceId];
    await bystander.run('DELETE FROM access_tokens WHERE user_id = $1 AND device_id = $2', own);
    await bystander.run('DELETE FROM devices WHERE user_id = $1 AND device_id = $2', own);
    const answering = remove(phone!, { auth: { ...passwordOf(phone!), session: body.session } });
    const answer = answering.then((response) => response);
    await lockWaiters(app(), 1);
    await bystander.commit();
    expect(await answer).toMatchObject({ status: 401, body: { errcode: 'M_UNKNOWN_TOKEN' } });
    expect(await app().matrix.whoami(laptop)).toMatchObject({ status: 200 });
  });

  it('keeps at most twenty challenges of a device', async () => {
    const [phone] = await userWith('A');
    const sessions: string[] = [];
    for (let time = 0; time < 22; time += 1) {
      app().clock.advance(1_000);
      sessions.push((await remove(phone!, { devices: ['A'] }).expect(401)).body.session);
    }
    const answer = (session: string) =>
      remove(phone!, { auth: { ...passwordOf(phone!), session } }).then(({ status }) => status);
    expect(await answer(sessions[1]!)).toBe(400);
    expect(await answer(sessions[2]!)).toBe(200);
  });

  it('deletes nothing for an empty list', async () => {
    const [phone] = await userWith('A');
    await remove(phone!, { devices: [], auth: passwordOf(phone!) }).expect(200, {});
    expect(await idsOf(phone!)).toEqual(['PHONE', 'A']);
  });

  it.each([{}, { devices: 'A' }, { devices: [7] }, { devices: null }])(
    'refuses %j with 400',
    async (body) => {
      const [phone] = await userWith('A');
      const answer = await remove(phone!, { ...body, auth: passwordOf(phone!) }).expect(400);
      expect(answer.body.errcode).toMatch(/^M_(BAD_JSON|MISSING_PARAM)$/);
    },
  );

  it('has an older alias under r0', async () => {
    const [phone] = await userWith('A');
    await app()
      .http.post('/_matrix/client/r0/delete_devices')
      .auth(phone!.accessToken, { type: 'bearer' })
      .send({ devices: ['A'], auth: passwordOf(phone!) })
      .expect(200, {});
    const call = app().http.get(`${V3}/devices/A`).auth(phone!.accessToken, { type: 'bearer' });
    await call.expect(404);
  });
});
