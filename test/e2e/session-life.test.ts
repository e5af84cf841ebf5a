import { afterAll, describe, expect, it } from 'vitest';
import { ThreepidDirectory } from '../../src/index.js';
import {
  type ClientSession,
  PASSWORD,
  someKeys,
  uniqueUsername,
  V3,
} from '../../src/testing/matrix-client.js';
import { census, TestApp, useApp } from '../support/test-app.js';

const V1 = '/_matrix/client/v1';

/** Knows the addresses that a test has added. */
class TestThreepids extends ThreepidDirectory {
  readonly users = new Map<string, string>();

  async find(medium: string, address: string): Promise<string | null> {
    return this.users.get(`${medium} ${address}`) ?? null;
  }
}

const threepids = new TestThreepids();
const app = useApp({ threepids, variables: { SERVER_ADMINS: '@admin:localhost', GUESTS: 'allowed' } });
const SOFT = { errcode: 'M_UNKNOWN_TOKEN', soft_logout: true };

const passwordOf = ({ userId }: ClientSession, password = PASSWORD) => ({
  type: 'm.login.password',
  identifier: { type: 'm.id.user', user: userId },
  password,
});
const call = ({ accessToken }: ClientSession, method: 'get' | 'put' | 'post', path: string, body?: object) =>
  app().http[method](path).auth(accessToken, { type: 'bearer' }).send(body);
const login = (body: object) => app().http.post(`${V3}/login`).send(body);

describe('POST /login by a third-party identifier', () => {
  const by = (identifier: object) => login({ type: 'm.login.password', identifier, password: PASSWORD });

  it('logs in the user that the directory returns', async () => {
    const { userId } = await app().matrix.register();
    threepids.users.set('email alice@example.org', userId).set('msisdn 442079460000', userId);
    const byEmail = await by({
      type: 'm.id.thirdparty',
      medium: 'email',
      address: 'Alice@Example.org',
    }).expect(200);
    expect(byEmail.body.user_id).toBe(userId);
    await by({ type: 'm.id.phone', country: 'GB', phone: '020 7946 0000' }).expect(200);
    await login({
      type: 'm.login.password',
      medium: 'email',
      address: 'alice@example.org',
      password: PASSWORD,
    }).expect(200);
  });

  it('answers an unknown identifier like a wrong password', async () => {
    const unknown = await by({
      type: 'm.id.thirdparty',
      medium: 'email',
      address: 'nobody@example.org',
    }).expect(403);
    const { userId } = await app().matrix.register();
    const wrong = await login({ type: 'm.login.password', user: userId, password: 'wrong' }).expect(403);
    expect(unknown.body).toEqual(wrong.body);
  });

  it.each([
    [{ type: 'm.id.thirdparty', medium: 'email' }, 'M_MISSING_PARAM'],
    [{ type: 'm.id.phone', country: 'GB' }, 'M_MISSING_PARAM'],
    [{ type: 'm.id.phone', country: 'XX', phone: '1' }, 'M_INVALID_PARAM'],
    [{ type: 'm.id.thirdparty', medium: 7, address: 'x' }, 'M_BAD_JSON'],
  ])('refuses %j with 400 %s', async (identifier, errcode) => {
    expect((await by(identifier).expect(400)).body).toMatchObject({ errcode });
  });
});

describe('POST /login/get_token and m.login.token', () => {
  const getToken = (session: ClientSession, auth?: object) =>
    call(session, 'post', `${V1}/login/get_token`, auth === undefined ? {} : { auth });
  const tokenOf = async (session: ClientSession) =>
    (await getToken(session, passwordOf(session)).expect(200)).body.login_token;

  it('asks for the password every time', async () => {
    const session = await app().matrix.register();
    const first = await getToken(session).expect(401);
    expect(first.body).toMatchObject({ flows: [{ stages: ['m.login.password'] }] });
    const { body } = await getToken(session, { ...passwordOf(session), session: first.body.session }).expect(
      200,
    );
    expect(body).toEqual({ login_token: expect.stringMatching(/^mxl_/), expires_in_ms: 120_000 });
    await getToken(session).expect(401);
  });

  it('logs in once, on another device', async () => {
    const session = await app().matrix.register();
    const token = await tokenOf(session);
    const { body } = await login({ type: 'm.login.token', token }).expect(200);
    expect(body).toMatchObject({
      user_id: session.userId,
      device_id: expect.not.stringContaining(session.deviceId),
    });
    expect((await login({ type: 'm.login.token', token }).expect(403)).body).toMatchObject({
      errcode: 'M_FORBIDDEN',
    });
  });

  it('accepts only one of several concurrent uses of the token', async () => {
    const token = await tokenOf(await app().matrix.register());
    const answers = await Promise.all([1, 2, 3, 4].map(() => login({ type: 'm.login.token', token })));
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 403, 403, 403]);
  });

  it('ends the token after two minutes, and with the device that requested it', async () => {
    const session = await app().matrix.register();
    const late = await tokenOf(session);
    app().clock.advance(121_000);
    await login({ type: 'm.login.token', token: late }).expect(403);
    const orphan = await tokenOf(session);
    await app().matrix.logout(session).expect(200);
    await login({ type: 'm.login.token', token: orphan }).expect(403);
  });

  it('does not accept other tokens, and a login token is not accepted as an access token', async () => {
    const session = await app().matrix.register();
    await login({ type: 'm.login.token', token: session.accessToken }).expect(403);
    await login({ type: 'm.login.token' }).expect(400);
    const loginToken = await tokenOf(session);
    expect(await app().matrix.whoami({ ...session, accessToken: loginToken })).toMatchObject({ status: 401 });
  });
});

describe('User-interactive authentication', () => {
  const PATH = `${V3}/account/password`;
  const NEW = 'a completely different phrase';

  it("refuses another user's credentials with 403", async () => {
    const session = await app().matrix.register();
    const other = await app().matrix.register();
    const answer = await call(session, 'post', PATH, { new_password: NEW, auth: passwordOf(other) }).expect(
      403,
    );
    expect(answer.body).toMatchObject({ errcode: 'M_FORBIDDEN' });
    await app().matrix.login(session.userId);
  });

  it('answers a wrong password with 401, the flows and M_FORBIDDEN, and lets the client try again', async () => {
    const session = await app().matrix.register();
    const wrong = await call(session, 'post', PATH, {
      new_password: NEW,
      auth: passwordOf(session, 'wrong'),
    }).expect(401);
    expect(wrong.body).toMatchObject({ errcode: 'M_FORBIDDEN', flows: [{ stages: ['m.login.password'] }] });
    expect(wrong.body).not.toHaveProperty('soft_logout');
    const auth = { ...passwordOf(session), session: wrong.body.session };
    await call(session, 'post', PATH, { new_password: NEW, auth }).expect(200);
  });

  it('binds a session to its user and to its endpoint', async () => {
    const session = await app().matrix.register();
    const other = await app().matrix.register();
    const challenge = await call(session, 'post', PATH, { new_password: NEW }).expect(401);
    const stolen = { ...passwordOf(other), session: challenge.body.session };
    await call(other, 'post', PATH, { new_password: NEW, auth: stolen }).expect(403);
    const elsewhere = { ...passwordOf(session), session: challenge.body.session };
    await call(session, 'post', `${V1}/login/get_token`, { auth: elsewhere }).expect(403);
  });

  it('answers a repeated request again, and refuses a different change with the same session', async () => {
    const session = await app().matrix.register();
    const challenge = await call(session, 'post', PATH, { new_password: NEW }).expect(401);
    const auth = { ...passwordOf(session), session: challenge.body.session };
    await call(session, 'post', PATH, { new_password: NEW, auth }).expect(200);
    await call(session, 'post', PATH, { new_password: NEW, auth }).expect(200, {});
    await call(session, 'post', PATH, { auth: { session: auth.session } }).expect(200, {});
    await call(session, 'post', PATH, { new_password: 'something else again', auth }).expect(403);
    await app().matrix.login(session.userId, { password: NEW });
    app().clock.advance(11 * 60 * 1_000);
    const replay = await call(session, 'post', PATH, { new_password: NEW, auth }).expect(400);
    expect(replay.body).toMatchObject({ errcode: 'M_UNKNOWN' });
  });

  it('remembers the new password, so that the second request may contain only auth', async () => {
    const session = await app().matrix.register();
    const challenge = await call(session, 'post', PATH, { new_password: NEW }).expect(401);
    await call(session, 'post', PATH, { auth: { session: challenge.body.session } }).expect(401);
    const auth = { ...passwordOf(session), session: challenge.body.session };
    await call(session, 'post', PATH, { auth }).expect(200);
    await app().matrix.login(session.userId, { password: NEW });
    const missing = await call(session, 'post', PATH, { auth: passwordOf(session, NEW) }).expect(400);
    expect(missing.body).toMatchObject({ errcode: 'M_MISSING_PARAM' });
  });

  it('returns one login token per authentication', async () => {
    const session = await app().matrix.register();
    const path = `${V1}/login/get_token`;
    const challenge = await call(session, 'post', path, {}).expect(401);
    const auth = { ...passwordOf(session), session: challenge.body.session };
    await call(session, 'post', path, { auth }).expect(200);
    expect((await call(session, 'post', path, { auth }).expect(400)).body).toMatchObject({
      errcode: 'M_UNKNOWN',
    });
  });

  it('treats null as absent in the fields that name the user', async () => {
    const session = await app().matrix.register();
    const auth = { type: 'm.login.password', password: PASSWORD, identifier: null, user: null, medium: null };
    await call(session, 'post', PATH, { new_password: NEW, auth }).expect(200);
  });

  it('is deleted with the device that started it', async () => {
    const session = await app().matrix.register();
    await call(session, 'post', PATH, { new_password: NEW }).expect(401);
    const count = () => app().sql('SELECT FROM uia_sessions WHERE user_id = $1', [session.userId]);
    expect(await count()).toHaveLength(1);
    await app().matrix.logout(session).expect(200);
    expect(await count()).toEqual([]);
  });

  it('never stores a password in plain text', async () => {
    const session = await app().matrix.register();
    await call(session, 'post', PATH, { new_password: 'remember me not 4711' }).expect(401);
    await app()
      .http.post(`${V3}/register`)
      .send({ username: uniqueUsername(), password: 'remember me not 4711' })
      .expect(401);
    expect(JSON.stringify(await app().sql('SELECT * FROM uia_sessions'))).not.toContain('4711');
  });

  it('remembers the parameters of a registration', async () => {
    const username = uniqueUsername();
    const wanted = { username, device_id: 'REMEMBERED', initial_device_display_name: 'My phone' };
    const challenge = await app().http.post(`${V3}/register`).send(wanted).expect(401);
    const auth = { type: 'm.login.dummy', session: challenge.body.session };
    const { body } = await app().http.post(`${V3}/register`).send({ auth, password: PASSWORD }).expect(200);
    expect(body).toMatchObject({ user_id: `@${username}:localhost`, device_id: 'REMEMBERED' });
  });
});

describe('POST /account/password', () => {
  const NEW = 'a completely different phrase';
  const change = (session: ClientSession, extra: object = {}) =>
    call(session, 'post', `${V3}/account/password`, {
      new_password: NEW,
      auth: passwordOf(session),
      ...extra,
    });

  it('deletes the other devices with their keys, and keeps the calling session and its refresh token', async () => {
    const phone = await app().matrix.register({ refresh_token: true });
    const laptop = await app().matrix.login(phone.userId, { refresh_token: true });
    for (const session of [phone, laptop])
      await app().matrix.uploadKeys(session, someKeys(session)).expect(200);
    await change(phone).expect(200, {});
    expect(await app().matrix.whoami(laptop)).toMatchObject({
      status: 401,
      body: { errcode: 'M_UNKNOWN_TOKEN' },
    });
    await app().matrix.refresh(laptop.refreshToken!).expect(401);
    expect(await app().matrix.whoami(phone)).toMatchObject({ status: 200 });
    await app().matrix.refresh(phone.refreshToken!).expect(200);
    expect(Object.keys(await app().matrix.queryKeys(phone, phone.userId))).toEqual([phone.deviceId]);
    await login({ ...passwordOf(phone) }).expect(403);
    await login({ ...passwordOf(phone, NEW) }).expect(200);
  });

  it('remembers what the first request asked for', async () => {
    const phone = await app().matrix.register();
    const laptop = await app().matrix.login(phone.userId);
    const first = { new_password: NEW, logout_devices: false };
    const challenge = await call(phone, 'post', `${V3}/account/password`, first).expect(401);
    const auth = { ...passwordOf(phone), session: challenge.body.session };
    await call(phone, 'post', `${V3}/account/password`, { new_password: NEW, auth }).expect(200);
    expect(await app().matrix.whoami(laptop)).toMatchObject({ status: 200 });
  });

  it('refuses a repeated request with another value of logout_devices', async () => {
    const phone = await app().matrix.register();
    const path = `${V3}/account/password`;
    const challenge = await call(phone, 'post', path, { new_password: NEW }).expect(401);
    const auth = { ...passwordOf(phone), session: challenge.body.session };
    await call(phone, 'post', path, { new_password: NEW, auth }).expect(200);
    await call(phone, 'post', path, { new_password: NEW, logout_devices: false, auth }).expect(403);
    await call(phone, 'post', path, { new_password: NEW, logout_devices: true, auth }).expect(200);
    await call(phone, 'post', path, { new_password: NEW, auth }).expect(200);
  });

  it('ends all login tokens, whichever device requested them', async () => {
    const phone = await app().matrix.register();
    const asked = { auth: passwordOf(phone) };
    const { body } = await call(phone, 'post', `${V1}/login/get_token`, asked).expect(200);
    await change(phone).expect(200);
    await login({ type: 'm.login.token', token: body.login_token }).expect(403);
  });

  it('keeps the other devices when asked to', async () => {
    const phone = await app().matrix.register();
    const laptop = await app().matrix.login(phone.userId);
    await change(phone, { logout_devices: false }).expect(200);
    expect(await app().matrix.whoami(laptop)).toMatchObject({ status: 200 });
  });

  it('accepts the old password without a token, and then deletes all devices', async () => {
    const phone = await app().matrix.register();
    const request = { new_password: NEW, auth: passwordOf(phone) };
    await app().http.post(`${V3}/account/password`).send(request).expect(200);
    expect(await app().matrix.whoami(phone)).toMatchObject({ status: 401 });
    await app()
      .http.post(`${V3}/account/password`)
      .set('Authorization', 'Bearer gone')
      .send(request)
      .expect(401);
  });

  it('refuses a password that equals the username', async () => {
    const username = uniqueUsername().replaceAll('-', 'q');
    const body = { username, password: username, auth: { type: 'm.login.dummy' } };
    expect((await app().http.post(`${V3}/register`).send(body).expect(400)).body).toMatchObject({
      errcode: 'M_WEAK_PASSWORD',
    });
  });

  it.each(['short', 'password1234', 'qwertyuiop'])(
    'refuses the weak password "%s" before asking for the old one',
    async (weak) => {
      const session = await app().matrix.register();
      const answer = await call(session, 'post', `${V3}/account/password`, { new_password: weak }).expect(
        400,
      );
      expect(answer.body).toMatchObject({ errcode: 'M_WEAK_PASSWORD' });
      const body = { username: uniqueUsername(), password: weak, auth: { type: 'm.login.dummy' } };
      expect((await app().http.post(`${V3}/register`).send(body).expect(400)).body).toMatchObject({
        errcode: 'M_WEAK_PASSWORD',
      });
    },
  );

  it('never leaves a session of a concurrent login with the old password', async () => {
    for (let round = 0; round < 8; round += 1) {
      const phone = await app().matrix.register();
      const [changed, ...logins] = await Promise.all([
        change(phone),
        ...[1, 2, 3].map(() => login(passwordOf(phone))),
      ]);
      expect(changed.status).toBe(200);
      for (const { status, body } of logins) {
        expect([200, 403]).toContain(status);
        if (status === 200) {
          const session = { ...phone, accessToken: body.access_token };
          expect(await app().matrix.whoami(session)).toMatchObject({ status: 401 });
        }
      }
      expect(await census(app(), phone.userId)).toMatchObject({ devices: 1, access_tokens: 1 });
    }
  });

  it('never leaves a device or token of a concurrent refresh', async () => {
    for (let round = 0; round < 8; round += 1) {
      const phone = await app().matrix.register();
      const laptop = await app().matrix.login(phone.userId, { refresh_token: true });
      const [changed, refreshed] = await Promise.all([
        change(phone),
        app().matrix.refresh(laptop.refreshToken!),
      ]);
      expect(changed.status).toBe(200);
      expect([200, 401]).toContain(refreshed.status);
      expect(await census(app(), phone.userId)).toMatchObject({
        devices: 1,
        access_tokens: 1,
        refresh_tokens: 0,
      });
    }
  });
});

describe('POST /account/deactivate', () => {
  it('ends all sessions, and the name stays taken', async () => {
    const phone = await app().matrix.register({ refresh_token: true });
    const laptop = await app().matrix.login(phone.userId);
    await call(phone, 'post', `${V3}/account/deactivate`, {}).expect(401);
    const wrong = await call(phone, 'post', `${V3}/account/deactivate`, {
      auth: passwordOf(phone, 'wrong'),
    }).expect(401);
    expect(wrong.body).toMatchObject({ errcode: 'M_FORBIDDEN' });
    const { body } = await call(phone, 'post', `${V3}/account/deactivate`, {
      auth: passwordOf(phone),
    }).expect(200);
    expect(body).toEqual({ id_server_unbind_result: 'success' });
    for (const session of [phone, laptop])
      expect(await app().matrix.whoami(session)).toMatchObject({ status: 401 });
    expect(await census(app(), phone.userId)).toMatchObject({
      devices: 0,
      access_tokens: 0,
      refresh_tokens: 0,
    });
    await login(passwordOf(phone)).expect(403);
    const username = phone.userId.slice(1, phone.userId.indexOf(':'));
    const taken = await app().http.get(`${V3}/register/available`).query({ username }).expect(400);
    expect(taken.body).toMatchObject({ errcode: 'M_USER_IN_USE' });
  });
});

describe('Locking and suspension', () => {
  const lock = (admin: ClientSession, { userId }: ClientSession, locked: boolean) =>
    call(admin, 'put', `${V1}/admin/lock/${encodeURIComponent(userId)}`, { locked });
  let admin: ClientSession | undefined;
  const theAdmin = async () => (admin ??= await app().createUser('admin'));

  it('a locked user can only log out, gets soft_logout elsewhere, and can continue after the lock is lifted', async () => {
    const session = await app().matrix.register({ refresh_token: true });
    await lock(await theAdmin(), session, true).expect(200, { locked: true });
    const refused = { errcode: 'M_USER_LOCKED', soft_logout: true };
    expect(await app().matrix.whoami(session)).toMatchObject({ status: 401, body: refused });
    expect((await login(passwordOf(session)).expect(401)).body).toMatchObject(refused);
    expect((await app().matrix.refresh(session.refreshToken!).expect(401)).body).toMatchObject(refused);
    const state = await call(await theAdmin(), 'get', `${V1}/admin/lock/${session.userId}`).expect(200);
    expect(state.body).toEqual({ locked: true });
    await lock(await theAdmin(), session, false).expect(200, { locked: false });
    expect(await app().matrix.whoami(session)).toMatchObject({ status: 200 });
  });

  it.each(['logout', 'logoutAll'] as const)('a locked user can %s', async (endpoint) => {
    const session = await app().matrix.register();
    await lock(await theAdmin(), session, true).expect(200);
    await app().matrix[endpoint](session).expect(200, {});
    expect(await census(app(), session.userId)).toMatchObject({ devices: 0, access_tokens: 0 });
  });

  it('a suspended user can use every endpoint of this service', async () => {
    const session = await app().matrix.register();
    const path = `${V1}/admin/suspend/${session.userId}`;
    await call(await theAdmin(), 'put', path, { suspended: true }).expect(200, { suspended: true });
    expect((await call(await theAdmin(), 'get', path).expect(200)).body).toEqual({ suspended: true });
    expect(await app().matrix.whoami(session)).toMatchObject({ status: 200 });
    await app().matrix.logout(session).expect(200);
  });

  it('cannot be applied to administrators, and requires the exact spelling of the user ID', async () => {
    const suspend = async (name: string) =>
      call(await theAdmin(), 'put', `${V1}/admin/suspend/${name}`, { suspended: true });
    expect((await suspend('@admin:localhost')).status).toBe(403);
    for (const name of ['@Admin:localhost', '@ADMIN:localhost'])
      expect((await suspend(name)).status).toBe(404);
    for (const name of ['admin', 'admin:localhost', '@admin', '@admin:elsewhere'])
      expect((await suspend(name)).status).toBe(400);
    expect(await app().matrix.whoami(await theAdmin())).toMatchObject({ status: 200 });
  });

  it('a locked user can neither change the password nor deactivate the account, even without a token', async () => {
    const session = await app().matrix.register();
    await lock(await theAdmin(), session, true).expect(200);
    const auth = passwordOf(session);
    const requests = [
      ['password', { new_password: 'a completely different phrase', auth }],
      ['deactivate', { auth }],
    ] as const;
    for (const [path, body] of requests) {
      const answer = await app().http.post(`${V3}/account/${path}`).send(body).expect(401);
      expect(answer.body).toMatchObject({ errcode: 'M_USER_LOCKED' });
    }
    await lock(await theAdmin(), session, false).expect(200);
    await login(passwordOf(session)).expect(200);
  });

  it('can be used by administrators, but not on them', async () => {
    const session = await app().matrix.register();
    for (const target of ['@nobody:localhost', session.userId, '@admin:localhost']) {
      const answer = await call(session, 'put', `${V1}/admin/lock/${target}`, { locked: true }).expect(403);
      expect(answer.body).toMatchObject({ errcode: 'M_FORBIDDEN' });
    }
    await lock(await theAdmin(), await theAdmin(), true).expect(403);
  });

  it.each([
    ['@nobody:localhost', 404, 'M_NOT_FOUND'],
    ['@alice:elsewhere.org', 400, 'M_INVALID_PARAM'],
  ])('answers for %s with %i %s', async (userId, status, errcode) => {
    const answer = await call(await theAdmin(), 'get', `${V1}/admin/lock/${userId}`).expect(status);
    expect(answer.body).toMatchObject({ errcode });
    await call(await theAdmin(), 'put', `${V1}/admin/lock/${userId}`, { locked: 'yes' }).expect(400);
  });
});

describe('Guests', () => {
  const guest = async (): Promise<ClientSession> => {
    const body = {
      username: ['ignored'],
      password: 7,
      device_id: 'IGNORED',
      initial_device_display_name: 'Kiosk',
    };
    const answer = await app().http.post(`${V3}/register`).query({ kind: 'guest' }).send(body).expect(200);
    const { user_id: userId, device_id: deviceId, access_token: accessToken } = answer.body;
    return { userId, deviceId, accessToken };
  };

  it('get a name from the server, and are marked as guests', async () => {
    const session = await guest();
    expect(session.deviceId).not.toBe('IGNORED');
    expect(session.userId).not.toContain('ignored');
    const { body } = await app().matrix.whoami(session);
    expect(body).toEqual({ user_id: session.userId, device_id: session.deviceId, is_guest: true });
    expect(await app().matrix.devices(session)).toEqual([
      { device_id: session.deviceId, display_name: 'Kiosk' },
    ]);
  });

  it('can upload keys and log out, but cannot change a password', async () => {
    const session = await guest();
    await app().matrix.uploadKeys(session, someKeys(session)).expect(200);
    const refused = await call(session, 'post', `${V3}/account/password`, { new_password: PASSWORD }).expect(
      403,
    );
    expect(refused.body).toMatchObject({ errcode: 'M_GUEST_ACCESS_FORBIDDEN' });
    await app().matrix.logout(session).expect(200);
    expect(await census(app(), session.userId)).toMatchObject({
      devices: 0,
      access_tokens: 0,
      device_keys: 0,
    });
  });
});

describe('A guest who registers an account', () => {
  const upgrade = (guestToken: string, username: string) =>
    app()
      .http.post(`${V3}/register`)
      .send({
        username,
        password: PASSWORD,
        guest_access_token: guestToken,
        auth: { type: 'm.login.dummy' },
      });
  const guest = async (): Promise<[token: string, username: string]> => {
    const { body } = await app().http.post(`${V3}/register`).query({ kind: 'guest' }).send({}).expect(200);
    return [body.access_token, body.user_id.slice(1, body.user_id.indexOf(':'))];
  };

  const register = (body: object) => app().http.post(`${V3}/register`).send(body);
  /** Returns a guest whose first registration request was answered with a challenge. */
  const challenged = async () => {
    const [token, username] = await guest();
    const wanted = { username, password: PASSWORD, guest_access_token: token };
    const { body } = await register(wanted).expect(401);
    return { token, username, auth: { type: 'm.login.dummy', session: body.session as string } };
  };

  it('becomes a user with a second request that contains only auth', async () => {
    const { token, username, auth } = await challenged();
    const { body } = await register({ auth }).expect(200);
    expect(body.user_id).toBe(`@${username}:localhost`);
    const session = { userId: body.user_id, deviceId: body.device_id, accessToken: token };
    expect((await app().matrix.whoami(session)).body).toMatchObject({ is_guest: false });
    await app().matrix.login(username);
    expect((await register({ auth }).expect(200)).body.user_id).toBe(body.user_id);
  });

  it('is refused after logging out between the two requests', async () => {
    const { token, auth } = await challenged();
    await app().http.post(`${V3}/logout`).auth(token, { type: 'bearer' }).expect(200);
    const { body } = await register({ auth }).expect(403);
    expect(body).toMatchObject({ errcode: 'M_FORBIDDEN' });
  });

  it('becomes a user with the same name, and keeps the device', async () => {
    const [token, username] = await guest();
    const { body } = await upgrade(token, username).expect(200);
    expect(body.user_id).toBe(`@${username}:localhost`);
    const session = { userId: body.user_id, deviceId: body.device_id, accessToken: token };
    expect((await app().matrix.whoami(session)).body).toMatchObject({ is_guest: false });
    expect(await app().matrix.devices(session)).toHaveLength(2);
    await app().matrix.login(username);
    await upgrade(token, username).expect(403);
  });

  it("cannot take another guest's name, and the token of a user is not accepted", async () => {
    const [token] = await guest();
    const [, other] = await guest();
    expect((await upgrade(token, other).expect(403)).body).toMatchObject({ errcode: 'M_FORBIDDEN' });
    const user = await app().matrix.register();
    await upgrade(user.accessToken, user.userId.slice(1, user.userId.indexOf(':'))).expect(403);
  });
});

describe('GET /capabilities', () => {
  it('returns the capabilities of the caller', async () => {
    await app().http.get(`${V3}/capabilities`).expect(401);
    const { body } = await call(await app().matrix.register(), 'get', `${V3}/capabilities`).expect(200);
    expect(body.capabilities).toMatchObject({
      'm.change_password': { enabled: true },
      'm.get_login_token': { enabled: true },
      'm.room_versions': { default: expect.any(String) },
    });
    expect(body.capabilities).not.toHaveProperty('m.account_moderation');
  });
});

describe('Registration tokens', () => {
  let guarded: TestApp | undefined;
  const service = async () =>
    (guarded ??= await TestApp.start({
      variables: { REGISTRATION: 'token', REGISTRATION_TOKENS: 'first,second' },
    }));
  afterAll(() => guarded?.stop());

  it('are required for a registration', async () => {
    const { http } = await service();
    const wanted = { username: uniqueUsername(), password: PASSWORD };
    const challenge = await http.post(`${V3}/register`).send(wanted).expect(401);
    expect(challenge.body.flows).toEqual([{ stages: ['m.login.registration_token'] }]);
    const attempt = (auth: object) => http.post(`${V3}/register`).send({ ...wanted, auth });
    expect((await attempt({ type: 'm.login.dummy' }).expect(401)).body).toMatchObject({
      errcode: 'M_INVALID_PARAM',
    });
    const bad = await attempt({ type: 'm.login.registration_token', token: 'third' }).expect(401);
    expect(bad.body).toMatchObject({ errcode: 'M_FORBIDDEN' });
    await attempt({ type: 'm.login.registration_token', token: 'second', session: bad.body.session }).expect(
      200,
    );
  });

  it('can be checked for validity', async () => {
    const { http } = await service();
    const validity = (token?: string) =>
      http.get(`${V1}/register/m.login.registration_token/validity`).query({ token });
    expect((await validity('first').expect(200)).body).toEqual({ valid: true });
    expect((await validity('third').expect(200)).body).toEqual({ valid: false });
    await validity().expect(400);
  });
});

describe('Refresh tokens with a lifetime', () => {
  const HOUR = 60 * 60 * 1_000;

  it('expire with soft_logout when they are unused for too long, or when the session is too old', async () => {
    const variables = { REFRESH_TOKEN_IDLE_TTL: '2h', REFRESH_TOKEN_TTL: '5h' };
    const service = await TestApp.start({ variables });
    try {
      const idle = await service.matrix.register({ refresh_token: true });
      let active = await service.matrix.register({ refresh_token: true });
      for (let hour = 0; hour < 4; hour += 1) {
        service.clock.advance(HOUR);
        const { body } = await service.matrix.refresh(active.refreshToken!).expect(200);
        active = { ...active, accessToken: body.access_token, refreshToken: body.refresh_token };
      }
      expect((await service.matrix.refresh(idle.refreshToken!).expect(401)).body).toMatchObject(SOFT);
      service.clock.advance(HOUR);
      expect((await service.matrix.refresh(active.refreshToken!).expect(401)).body).toMatchObject(SOFT);
    } finally {
      await service.stop();
    }
  });
});
