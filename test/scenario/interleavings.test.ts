import { afterEach, describe, expect, it } from 'vitest';
import { afterGuard, Bystander, GatesModule, inLogin, lockWaiters } from '../support/interleaving.js';
import { type ClientSession, PASSWORD, passwordOf, someKeys, V3 } from '../../src/testing/matrix-client.js';
import { SigningDevice, SigningUser } from '../support/signing.js';
import { census, NOTHING, useApp } from '../support/test-app.js';

// Races that concurrent requests hit only by chance. Here each step is forced to happen in a known order.
const app = useApp({ extensions: [GatesModule] });
const LOCK_DEVICE = 'SELECT FROM devices WHERE user_id = $1 AND device_id = $2 FOR UPDATE';

afterEach(() => {
  afterGuard.open();
  inLogin.open();
});

async function sessionWithKeys(extra?: object): Promise<ClientSession> {
  const session = await app().matrix.register(extra);
  await app().matrix.uploadKeys(session, someKeys(session)).expect(200);
  return session;
}

async function loginToken({ accessToken }: ClientSession): Promise<string> {
  const { body } = await app()
    .http.post('/_matrix/client/v1/login/get_token')
    .auth(accessToken, { type: 'bearer' })
    .send({ auth: { type: 'm.login.password', password: PASSWORD } })
    .expect(200);
  return body.login_token;
}

describe('A logout that waits behind a login on the same device', () => {
  it('is refused, and does not affect the new session and the keys', async () => {
    const session = await sessionWithKeys({ device_id: 'D' });
    const bystander = await Bystander.begin(app());
    await bystander.run(LOCK_DEVICE, [session.userId, 'D']);
    const login = app().matrix.login(session.userId, { device_id: 'D' });
    await lockWaiters(app(), 1);
    const logout = app()
      .matrix.logout(session)
      .then(({ status }) => status);
    await lockWaiters(app(), 2);
    await bystander.commit();
    const again = await login;
    expect(await logout).toBe(401);
    expect(await app().matrix.whoami(again)).toMatchObject({ status: 200 });
    expect(await census(app(), session.userId)).toMatchObject({
      devices: 1,
      access_tokens: 1,
      device_keys: 1,
    });
  });
});

describe('A logout of all devices that begins during a login', () => {
  it.each(['m.login.password', 'm.login.token'])('by %s waits for it and ends its session', async (type) => {
    const phone = await sessionWithKeys();
    const token = await loginToken(phone);
    inLogin.close();
    const login = app().matrix.login(phone.userId, { type, token, device_id: 'NEW' });
    await inLogin.isReached();
    const logout = app()
      .matrix.logoutAll(phone)
      .then(({ status }) => status);
    await lockWaiters(app(), 1);
    inLogin.open();
    const late = await login;
    expect(await logout).toBe(200);
    expect(await app().matrix.whoami(late)).toMatchObject({ status: 401 });
    expect(await census(app(), phone.userId)).toEqual(NOTHING);
  });
});

describe('A login that begins during a logout of all devices', () => {
  it('waits for it and starts a new session', async () => {
    const phone = await sessionWithKeys({ device_id: 'D' });
    const bystander = await Bystander.begin(app());
    await bystander.run(LOCK_DEVICE, [phone.userId, 'D']);
    const logout = app()
      .matrix.logoutAll(phone)
      .then(({ status }) => status);
    await lockWaiters(app(), 1);
    const login = app().matrix.login(phone.userId, { device_id: 'D' });
    await lockWaiters(app(), 2);
    await bystander.commit();
    expect(await logout).toBe(200);
    expect(await app().matrix.whoami(await login)).toMatchObject({ status: 200 });
    expect(await census(app(), phone.userId)).toMatchObject({ devices: 1, access_tokens: 1, device_keys: 0 });
  });
});

describe('A key upload whose device is deleted after the guard has accepted it', () => {
  it.each(['logout', 'logoutAll'] as const)('by %s is refused, and stores no key', async (endpoint) => {
    const session = await app().matrix.register();
    afterGuard.close();
    const upload = app()
      .matrix.uploadKeys(session, someKeys(session))
      .then(({ status }) => status);
    await afterGuard.isReached();
    await app().matrix[endpoint](session).expect(200);
    afterGuard.open();
    expect(await upload).toBe(401);
    expect(await census(app(), session.userId)).toEqual(NOTHING);
  });

  it('does not store keys on a newer device with the same ID', async () => {
    const session = await app().matrix.register({ device_id: 'D' });
    afterGuard.close();
    const upload = app()
      .matrix.uploadKeys(session, someKeys(session))
      .then(({ status }) => status);
    await afterGuard.isReached();
    await app().matrix.logout(session).expect(200);
    const again = await app().matrix.login(session.userId, { device_id: 'D' });
    afterGuard.open();
    expect(await upload).toBe(401);
    expect(await app().matrix.queryKeys(again, session.userId)).toEqual({});
  });

  it('stores keys if it was first, and the logout that waited for it deletes them', async () => {
    const session = await app().matrix.register();
    const bystander = await Bystander.begin(app());
    // A one-time key with the same ID blocks the upload after it has locked its device.
    await bystander.run(
      `INSERT INTO one_time_keys VALUES ($1, $2, 'signed_curve25519', 'AAAA0', '"x"', now(), 1)`,
      [session.userId, session.deviceId],
    );
    const upload = app()
      .matrix.uploadKeys(session, someKeys(session))
      .then(({ status }) => status);
    await lockWaiters(app(), 1);
    const logout = app()
      .matrix.logout(session)
      .then(({ status }) => status);
    await lockWaiters(app(), 2);
    await bystander.run('DELETE FROM one_time_keys WHERE user_id = $1', [session.userId]);
    await bystander.commit();
    expect(await upload).toBe(200);
    expect(await logout).toBe(200);
    expect(await census(app(), session.userId)).toEqual(NOTHING);
  });
});

describe('The first use of a refreshed access token', () => {
  it('waits for a refresh in progress, and is refused if that created a newer pair', async () => {
    const session = await app().matrix.register({ refresh_token: true });
    const { body: lost } = await app().matrix.refresh(session.refreshToken!).expect(200);
    const bystander = await Bystander.begin(app());
    await bystander.run(LOCK_DEVICE, [session.userId, session.deviceId]);
    const refresh = app()
      .matrix.refresh(session.refreshToken!)
      .then(({ body }) => body);
    await lockWaiters(app(), 1);
    const use = app().matrix.whoami({ ...session, accessToken: lost.access_token });
    await lockWaiters(app(), 2);
    await bystander.commit();
    const newest = await refresh;
    expect(await use).toMatchObject({ status: 401, body: { soft_logout: true } });
    expect(await app().matrix.whoami({ ...session, accessToken: newest.access_token })).toMatchObject({
      status: 200,
    });
  });
});

describe('Two refreshes of one token', () => {
  it('wait for each other: the second one gets a new pair, which is the valid one', async () => {
    const session = await app().matrix.register({ refresh_token: true });
    const bystander = await Bystander.begin(app());
    await bystander.run(LOCK_DEVICE, [session.userId, session.deviceId]);
    const first = app()
      .matrix.refresh(session.refreshToken!)
      .then(({ body }) => body);
    await lockWaiters(app(), 1);
    const second = app()
      .matrix.refresh(session.refreshToken!)
      .then(({ body }) => body);
    await lockWaiters(app(), 2);
    await bystander.commit();
    await first;
    const { access_token: accessToken } = await second;
    expect(await app().matrix.whoami({ ...session, accessToken })).toMatchObject({ status: 200 });
    expect(await census(app(), session.userId)).toMatchObject({ access_tokens: 2, refresh_tokens: 1 });
  });
});

describe('A password change that begins during a login with the old password', () => {
  it('waits for the login and deletes its device', async () => {
    const phone = await app().matrix.register();
    inLogin.close();
    const login = app().matrix.login(phone.userId, { device_id: 'NEW' });
    await inLogin.isReached();
    const auth = { type: 'm.login.password', password: PASSWORD };
    const change = app()
      .http.post(`${V3}/account/password`)
      .auth(phone.accessToken, { type: 'bearer' })
      .send({ new_password: 'a completely different phrase', auth })
      .then(({ status }) => status);
    await lockWaiters(app(), 1);
    inLogin.open();
    const late = await login;
    expect(await change).toBe(200);
    expect(await app().matrix.whoami(late)).toMatchObject({ status: 401 });
    expect(await app().matrix.whoami(phone)).toMatchObject({ status: 200 });
  });
});

describe('An authentication with a password', () => {
  const LOCK_ACCOUNT = 'SELECT FROM accounts WHERE user_id = $1 FOR UPDATE';
  const auth = { type: 'm.login.password', password: PASSWORD };
  const change = ({ accessToken }: ClientSession) =>
    app()
      .http.post(`${V3}/account/password`)
      .auth(accessToken, { type: 'bearer' })
      .send({ new_password: 'a completely different phrase', auth });

  it.each([
    [
      'a login',
      (session: ClientSession) =>
        app()
          .http.post(`${V3}/login`)
          .send({ ...auth, user: session.userId }),
    ],
    ['a password change', change],
    [
      'a deactivation',
      (session: ClientSession) =>
        app()
          .http.post(`${V3}/account/deactivate`)
          .auth(session.accessToken, { type: 'bearer' })
          .send({ auth }),
    ],
  ])('does not allow %s after the password has changed', async (_, call) => {
    const session = await app().matrix.register();
    const bystander = await Bystander.begin(app());
    await bystander.run(LOCK_ACCOUNT, [session.userId]);
    const answer = call(session).then(({ status, body }) => ({ status, body }));
    await lockWaiters(app(), 1);
    await bystander.run(`UPDATE accounts SET password_hash = 'another' WHERE user_id = $1`, [session.userId]);
    await bystander.commit();
    expect(await answer).toMatchObject({ status: 403, body: { errcode: 'M_FORBIDDEN' } });
    const [account] = await app().sql(
      'SELECT password_hash, deactivated_at FROM accounts WHERE user_id = $1',
      [session.userId],
    );
    expect(account).toEqual({ password_hash: 'another', deactivated_at: null });
  });

  it('does not reactivate an account that was deactivated in the meantime', async () => {
    const session = await app().matrix.register();
    const bystander = await Bystander.begin(app());
    await bystander.run(LOCK_ACCOUNT, [session.userId]);
    const answer = change(session).then(({ body }) => body);
    await lockWaiters(app(), 1);
    await bystander.run('UPDATE accounts SET deactivated_at = now() WHERE user_id = $1', [session.userId]);
    await bystander.commit();
    expect(await answer).toMatchObject({ errcode: 'M_USER_DEACTIVATED' });
  });
});

describe('One challenge that is answered twice concurrently', () => {
  it('is accepted once', async () => {
    const session = await app().matrix.register();
    const path = '/_matrix/client/v1/login/get_token';
    const post = (body: object) =>
      app().http.post(path).auth(session.accessToken, { type: 'bearer' }).send(body);
    const challenge = await post({}).expect(401);
    const auth = { type: 'm.login.password', password: PASSWORD, session: challenge.body.session };
    const bystander = await Bystander.begin(app());
    await bystander.run('SELECT FROM uia_sessions WHERE session_id = $1 FOR UPDATE', [auth.session]);
    const answers = [1, 2].map(() => post({ auth }).then(({ status }) => status));
    await lockWaiters(app(), 2);
    await bystander.commit();
    expect((await Promise.all(answers)).toSorted()).toEqual([200, 400]);
  });

  it('sets one new password, and both requests succeed', async () => {
    const session = await app().matrix.register();
    const post = (body: object) => app().matrix.call(session, 'post', '/account/password').send(body);
    const request = { new_password: 'a completely different phrase' };
    const challenge = await post(request).expect(401);
    const auth = { type: 'm.login.password', password: PASSWORD, session: challenge.body.session };
    const bystander = await Bystander.begin(app());
    await bystander.run('SELECT FROM accounts WHERE user_id = $1 FOR UPDATE', [session.userId]);
    const answers = [1, 2].map(() => post({ ...request, auth }).then(({ status }) => status));
    await lockWaiters(app(), 2);
    await bystander.commit();
    expect(await Promise.all(answers)).toEqual([200, 200]);
  });
});

describe('A challenge for a device that was deleted in the meantime', () => {
  it('is refused with M_UNKNOWN_TOKEN', async () => {
    const session = await app().matrix.register();
    const bystander = await Bystander.begin(app());
    await bystander.run('DELETE FROM devices WHERE user_id = $1', [session.userId]);
    const answer = app()
      .http.post(`${V3}/account/password`)
      .auth(session.accessToken, { type: 'bearer' })
      .send({ new_password: 'a completely different phrase' })
      .then(({ status, body }) => ({ status, body }));
    await lockWaiters(app(), 1);
    await bystander.commit();
    expect(await answer).toMatchObject({ status: 401, body: { errcode: 'M_UNKNOWN_TOKEN' } });
  });
});

describe('A login with a token and a logout of the device that requested it', () => {
  it('take their locks in the same order', async () => {
    const session = await app().matrix.register();
    const token = await loginToken(session);
    const deadlocks = async () =>
      (
        await app().sql<{ deadlocks: string }>(
          'SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()',
        )
      )[0]!.deadlocks;
    const before = await deadlocks();
    inLogin.close();
    const login = app().matrix.login(session.userId, {
      type: 'm.login.token',
      token,
      device_id: session.deviceId,
    });
    await inLogin.isReached();
    const logout = app()
      .matrix.logout(session)
      .then(({ status }) => status);
    await lockWaiters(app(), 1);
    inLogin.open();
    expect(await app().matrix.whoami(await login)).toMatchObject({ status: 200 });
    expect(await logout).toBe(401);
    expect(await deadlocks()).toBe(before);
  });
});

describe('Requests that concern several devices', () => {
  const deadlocks = async () => {
    await app().sql('SELECT pg_stat_clear_snapshot()');
    const [row] = await app().sql<{ deadlocks: string }>(
      'SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()',
    );
    return Number(row!.deadlocks);
  };

  /** Creates a user whose calling device is the last one in the order of devices. */
  async function devices() {
    const zz = await app().matrix.register({ device_id: 'ZZ' });
    const aa = await app().matrix.login(zz.userId, { device_id: 'AA' });
    const keys = new SigningUser(zz.userId);
    const signers = [new SigningDevice(zz), new SigningDevice(aa)];
    for (const device of signers)
      await app().matrix.uploadKeys(device.session, { device_keys: device.deviceKeys() }).expect(200);
    return { zz, aa: signers[1]!, keys };
  }

  /** Locks AA, lets the request wait for it, and then locks ZZ, as a deletion of both devices does. */
  async function meetDeletion(userId: string, request: () => Promise<{ status: number }>): Promise<number> {
    const bystander = await Bystander.begin(app());
    await bystander.run(LOCK_DEVICE, [userId, 'AA']);
    const answer = request();
    await lockWaiters(app(), 1);
    await bystander.run(LOCK_DEVICE, [userId, 'ZZ']);
    await bystander.commit();
    return (await answer).status;
  }

  it('lock the devices in order: an upload of signatures', async () => {
    const { zz, aa, keys } = await devices();
    await app().matrix.call(zz, 'post', '/keys/device_signing/upload').send(keys.upload()).expect(200);
    const signed = keys.selfSigning.sign(aa.deviceKeys(), zz.userId);
    const before = await deadlocks();
    const status = await meetDeletion(zz.userId, async () =>
      app()
        .matrix.call(zz, 'post', '/keys/signatures/upload')
        .send({ [zz.userId]: { AA: signed } }),
    );
    expect(status).toBe(200);
    expect(await deadlocks()).toBe(before);
  });

  it('lock the devices before rows that reference them: an upload of cross-signing keys', async () => {
    const { zz, aa, keys } = await devices();
    await app()
      .matrix.call(zz, 'post', '/keys/device_signing/upload')
      .send({ ...keys.upload(), master_key: aa.sign(keys.masterKey()) })
      .expect(200);
    const next = new SigningUser(zz.userId);
    const before = await deadlocks();
    const status = await meetDeletion(zz.userId, async () =>
      app()
        .matrix.call(zz, 'post', '/keys/device_signing/upload')
        .send({ ...next.upload(), master_key: aa.sign(next.masterKey()), auth: passwordOf(zz) }),
    );
    expect(status).toBe(200);
    expect(await deadlocks()).toBe(before);
  });

  it('lock the devices in order: a claim', async () => {
    const { zz } = await devices();
    const one_time_keys = { [zz.userId]: { ZZ: 'signed_curve25519', AA: 'signed_curve25519' } };
    const before = await deadlocks();
    const status = await meetDeletion(zz.userId, async () =>
      app().matrix.call(zz, 'post', '/keys/claim').send({ one_time_keys }),
    );
    expect(status).toBe(200);
    expect(await deadlocks()).toBe(before);
  });
});
