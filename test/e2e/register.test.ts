import { describe, expect, it } from 'vitest';
import { PASSWORD, uniqueUsername, V3 } from '../../src/testing/matrix-client.js';
import { census, TestApp, useApp } from '../support/test-app.js';

const app = useApp();
const register = (body: object) => app().http.post(`${V3}/register`).send(body);
const DUMMY = { auth: { type: 'm.login.dummy' } };

describe('POST /register', () => {
  it('asks for the dummy flow first, without an errcode', async () => {
    const { body } = await register({}).expect(401);
    expect(body).toEqual({ flows: [{ stages: ['m.login.dummy'] }], params: {}, session: expect.any(String) });
  });

  it('registers with the session of the challenge', async () => {
    const wanted = { username: uniqueUsername(), password: PASSWORD };
    const challenge = await register(wanted).expect(401);
    const auth = { type: 'm.login.dummy', session: challenge.body.session };
    const { body } = await register({ ...wanted, auth }).expect(200);
    expect(body).toEqual({
      user_id: `@${wanted.username}:localhost`,
      home_server: 'localhost',
      device_id: expect.any(String),
      access_token: expect.any(String),
    });
  });

  it('creates one user for a session, and answers a repeated request with the same user and a new token', async () => {
    const wanted = { username: uniqueUsername(), password: PASSWORD, device_id: 'PHONE' };
    const challenge = await register(wanted).expect(401);
    const auth = { type: 'm.login.dummy', session: challenge.body.session };
    const first = await register({ ...wanted, auth }).expect(200);
    for (const repeated of [{ ...wanted, auth }, { auth }, { auth: { session: auth.session } }]) {
      const again = await register(repeated).expect(200);
      expect(again.body).toMatchObject({ user_id: first.body.user_id, device_id: 'PHONE' });
      expect(again.body.access_token).not.toBe(first.body.access_token);
      await app()
        .http.get(`${V3}/account/whoami`)
        .auth(again.body.access_token, { type: 'bearer' })
        .expect(200);
    }
    for (const other of [
      { ...wanted, username: uniqueUsername() },
      { ...wanted, password: 'another long phrase' },
    ])
      expect((await register({ ...other, auth }).expect(403)).body.errcode).toBe('M_FORBIDDEN');
    app().clock.advance(11 * 60 * 1_000);
    await register({ ...wanted, auth }).expect(400);
  });

  it.each(['logout', 'logoutAll'] as const)('does not answer a repeated request after a %s', async (end) => {
    const wanted = { username: uniqueUsername(), password: PASSWORD };
    const { body: challenge } = await register(wanted).expect(401);
    const auth = { type: 'm.login.dummy', session: challenge.session };
    const { body } = await register({ ...wanted, auth }).expect(200);
    const session = { userId: body.user_id, deviceId: body.device_id, accessToken: body.access_token };
    await app().matrix[end](session).expect(200);
    expect((await register({ ...wanted, auth }).expect(400)).body).toMatchObject({ errcode: 'M_UNKNOWN' });
    expect(await app().sql('SELECT FROM devices WHERE user_id = $1', [session.userId])).toEqual([]);
  });

  it('answers identical concurrent requests of one session with the same user', async () => {
    for (let round = 0; round < 5; round += 1) {
      const wanted = { username: uniqueUsername(), password: PASSWORD };
      const challenge = await register(wanted).expect(401);
      const auth = { type: 'm.login.dummy', session: challenge.body.session };
      const answers = await Promise.all([1, 2, 3].map(() => register({ ...wanted, auth })));
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
      expect(new Set(answers.map(({ body }) => body.user_id)).size).toBe(1);
    }
  });

  it('accepts only one of several different concurrent requests of one session', async () => {
    for (let round = 0; round < 5; round += 1) {
      const challenge = await register({ password: PASSWORD }).expect(401);
      const auth = { type: 'm.login.dummy', session: challenge.body.session };
      const others = ['a', 'b', 'c'].map((letter) => ({
        username: uniqueUsername(),
        password: `${PASSWORD} ${letter}`,
        auth,
      }));
      const answers = await Promise.all(others.map((other) => register(other)));
      expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 403, 403]);
      const won = answers.findIndex(({ status }) => status === 200);
      expect(answers[won]!.body.user_id).toBe(`@${others[won]!.username}:localhost`);
    }
  });

  it('answers a repeated request with what the first request asked for', async () => {
    const answerTwice = async (wanted: object) => {
      const request = { username: uniqueUsername(), password: PASSWORD, ...wanted };
      const challenge = await register(request).expect(401);
      const auth = { type: 'm.login.dummy', session: challenge.body.session };
      await register({ auth }).expect(200);
      const { body } = await register({ auth }).expect(200);
      await register({ auth, device_id: 'ANOTHER' }).expect(403);
      return Object.keys(body).toSorted();
    };
    const session = ['access_token', 'device_id', 'home_server', 'user_id'];
    const pair = ['access_token', 'device_id', 'expires_in_ms', 'home_server', 'refresh_token', 'user_id'];
    expect(await answerTwice({ refresh_token: true })).toEqual(pair);
    expect(await answerTwice({ inhibit_login: true })).toEqual(['home_server', 'user_id']);
    expect(await answerTwice({})).toEqual(session);
  });

  it('answers a repeated request without a login if the first one inhibited it', async () => {
    const wanted = { username: uniqueUsername(), password: PASSWORD, inhibit_login: true };
    const challenge = await register(wanted).expect(401);
    const auth = { type: 'm.login.dummy', session: challenge.body.session };
    const first = await register({ ...wanted, auth }).expect(200);
    expect((await register({ ...wanted, auth }).expect(200)).body).toEqual(first.body);
  });

  it('remembers the password with the session, so that the second request may contain only auth', async () => {
    const username = uniqueUsername();
    const challenge = await register({ username, password: PASSWORD }).expect(401);
    const { session } = challenge.body;
    const state = await register({ auth: { session } }).expect(401);
    expect(state.body).toEqual({ flows: challenge.body.flows, params: {}, session });
    await register({ auth: { type: 'm.login.dummy', session } }).expect(200);
    await app().matrix.login(username);
    const [row] = await app().sql<{ text: string }>(
      'SELECT uia_sessions::text AS text FROM uia_sessions WHERE session_id = $1',
      [session],
    );
    expect(row!.text).not.toContain(PASSWORD);
  });

  it('requires a password if the first request had none', async () => {
    const challenge = await register({ username: uniqueUsername() }).expect(401);
    const auth = { type: 'm.login.dummy', session: challenge.body.session };
    expect((await register({ auth }).expect(400)).body.errcode).toBe('M_MISSING_PARAM');
    expect((await register({ auth: { type: 'm.login.dummy' } }).expect(400)).body.errcode).toBe(
      'M_MISSING_PARAM',
    );
  });

  it.each([{}, { session: null }, { type: null }])('treats auth of %j as a first request', async (auth) => {
    const { body } = await register({ username: uniqueUsername(), password: PASSWORD, auth }).expect(401);
    expect(body).toMatchObject({ flows: [{ stages: ['m.login.dummy'] }] });
  });

  it.each(['12345', '0', '_irc_alice', '_'])('refuses the username %s', async (username) => {
    const answer = await register({ username, password: PASSWORD, ...DUMMY }).expect(400);
    expect(answer.body.errcode).toBe('M_INVALID_USERNAME');
    const available = await app().http.get(`${V3}/register/available`).query({ username }).expect(400);
    expect(available.body.errcode).toBe('M_INVALID_USERNAME');
  });

  it.each(['a\0b', '\ud800'])(
    'has a specific error for a username that cannot be stored: %j',
    async (username) => {
      const answer = await register({ username, password: PASSWORD, ...DUMMY }).expect(400);
      expect(answer.body.errcode).toBe('M_INVALID_USERNAME');
      const elsewhere = await register({ username: 'x', password: username, ...DUMMY }).expect(400);
      expect(elsewhere.body.errcode).toBe('M_BAD_JSON');
    },
  );

  it('truncates the name of the first device to the maximum length', async () => {
    const name = `${'x'.repeat(99)}\u{1F600}${'y'.repeat(50)}`;
    const username = uniqueUsername();
    const body = { username, password: PASSWORD, initial_device_display_name: name };
    const { access_token: accessToken, device_id: deviceId } = (
      await register({ ...body, ...DUMMY }).expect(200)
    ).body;
    const session = { userId: `@${username}:localhost`, deviceId, accessToken };
    expect((await app().matrix.devices(session))[0]!.display_name).toBe(`${'x'.repeat(99)}\u{1F600}`);
    const again = await app().matrix.login(username, { initial_device_display_name: name });
    const devices = await app().matrix.devices(again);
    expect(devices.map((device) => device.display_name?.length)).toEqual([101, 101]);
    await app().matrix.login(username, { device_id: deviceId, initial_device_display_name: name });
  });

  it('forgets a session after an hour', async () => {
    const challenge = await register({}).expect(401);
    app().clock.advance(61 * 60 * 1_000);
    const auth = { type: 'm.login.dummy', session: challenge.body.session };
    const answer = await register({ username: uniqueUsername(), password: PASSWORD, auth }).expect(400);
    expect(answer.body).toMatchObject({ errcode: 'M_UNKNOWN' });
  });

  it('needs no session if the first request completes the stage', async () => {
    await register({ username: uniqueUsername(), password: PASSWORD, ...DUMMY }).expect(200);
  });

  it('answers an unsupported stage with the flows and the reason', async () => {
    const wanted = { username: uniqueUsername(), password: PASSWORD };
    const { body } = await register({ ...wanted, auth: { type: 'm.login.recaptcha' } }).expect(401);
    expect(body).toMatchObject({ errcode: 'M_INVALID_PARAM', flows: [{ stages: ['m.login.dummy'] }] });
  });

  it('checks the name before it asks for authentication', async () => {
    const taken = await app().matrix.register();
    const username = taken.userId.slice(1, taken.userId.indexOf(':'));
    expect((await register({ username }).expect(400)).body).toMatchObject({ errcode: 'M_USER_IN_USE' });
    expect((await register({ username: username.toUpperCase() }).expect(400)).body.errcode).toBe(
      'M_USER_IN_USE',
    );
    for (const bad of ['äpfel', 'with space', 'a:b', '@alice', 'x'.repeat(250)]) {
      expect((await register({ username: bad }).expect(400)).body).toMatchObject({
        errcode: 'M_INVALID_USERNAME',
      });
    }
  });

  it('converts names to lower case', async () => {
    const username = uniqueUsername();
    const { body } = await register({
      username: username.toUpperCase(),
      password: PASSWORD,
      ...DUMMY,
    }).expect(200);
    expect(body.user_id).toBe(`@${username}:localhost`);
  });

  it('generates a name if none is requested', async () => {
    const { body } = await register({ password: PASSWORD, ...DUMMY }).expect(200);
    expect(body.user_id).toMatch(/^@[a-z0-9]{12}:localhost$/);
  });

  it('creates only the account if the login is inhibited', async () => {
    const username = uniqueUsername();
    const { body } = await register({ username, password: PASSWORD, inhibit_login: true, ...DUMMY }).expect(
      200,
    );
    expect(body).toEqual({ user_id: `@${username}:localhost`, home_server: 'localhost' });
    expect(await census(app(), body.user_id)).toMatchObject({ devices: 0, access_tokens: 0 });
    await app().matrix.login(username);
  });

  it('requires a password', async () => {
    const answer = await register({ username: uniqueUsername(), ...DUMMY }).expect(400);
    expect(answer.body).toMatchObject({ errcode: 'M_MISSING_PARAM' });
  });

  it('accepts one of several concurrent requests for the same name', async () => {
    const wanted = { username: uniqueUsername(), password: PASSWORD, ...DUMMY };
    const answers = await Promise.all([register(wanted), register(wanted), register(wanted)]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 400, 400]);
  });

  it('knows the kinds "user" and "guest", and refuses guests', async () => {
    expect((await register({}).query({ kind: 'guest' }).expect(403)).body).toMatchObject({
      errcode: 'M_FORBIDDEN',
    });
    expect((await register({}).query({ kind: 'ghost' }).expect(400)).body).toMatchObject({
      errcode: 'M_INVALID_PARAM',
    });
    await register({}).query({ kind: 'user' }).expect(401);
  });

  it('keeps only a hash of the password and only a digest of the token', async () => {
    const session = await app().matrix.register({ refresh_token: true });
    const [account] = await app().sql('SELECT * FROM accounts WHERE user_id = $1', [session.userId]);
    expect(account!['password_hash']).toMatch(/^\$argon2id\$v=19\$m=8192,t=1,p=1\$/);
    const stored = JSON.stringify([
      await app().sql("SELECT encode(token_digest, 'escape') FROM access_tokens"),
      await app().sql(
        "SELECT encode(current_digest, 'escape'), encode(family, 'escape') FROM refresh_tokens",
      ),
    ]);
    for (const token of [session.accessToken, session.refreshToken!]) {
      expect(stored).not.toContain(token.slice(-41, -9));
    }
  });
});

describe('POST /register, closed', () => {
  it('answers 403 M_FORBIDDEN', async () => {
    const closed = await TestApp.start({ variables: { REGISTRATION: 'closed' } });
    try {
      const answer = await closed.http.post(`${V3}/register`).send({}).expect(403);
      expect(answer.body).toMatchObject({ errcode: 'M_FORBIDDEN' });
    } finally {
      await closed.stop();
    }
  });
});
