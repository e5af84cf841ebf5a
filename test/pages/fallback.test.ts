import { describe, expect, it } from 'vitest';
import { PASSWORD, uniqueUsername, V3 } from '../../src/testing/index.js';
import { OAUTH_VARIABLES } from '../support/oauth.js';
import { useApp } from '../support/test-app.js';
import { formsOf, textOf, valueOf, Visitor } from '../support/visitor.js';
import { skeletonOf, valuesOf } from './parse.js';
import { auditOf, isIn } from './people.js';

const LOGIN = '/_matrix/static/client/login/';

const app = useApp({ variables: { ...OAUTH_VARIABLES, TRUST_PROXY: '1' } });

/** Signs in on the page, and returns what it hands to the client around it. */
async function login(path: string, user: string, password = PASSWORD, visitor = new Visitor(app())) {
  const answer = await visitor.submit(await visitor.get(path), { username: user, password });
  const [data] = valuesOf(answer.text, 'data-login');
  return { answer, session: data === undefined ? null : (JSON.parse(data) as Record<string, string>) };
}

describe('The login fallback', () => {
  it.each([LOGIN, LOGIN.slice(0, -1)])('hands a session to the client around %s', async (path) => {
    const { userId } = await app().matrix.register();
    const { answer, session } = await login(path, userId);
    expect(answer.status).toBe(200);
    expect(textOf(answer)).toContain('You are signed in');
    expect(session).toMatchObject({
      user_id: userId,
      device_id: expect.any(String),
      access_token: expect.any(String),
      home_server: 'localhost',
    });
    const { body } = await app().matrix.whoami({
      userId,
      deviceId: session!['device_id']!,
      accessToken: session!['access_token']!,
    });
    expect(body).toMatchObject({ user_id: userId, device_id: session!['device_id'] });
  });

  it('takes what is no secret from the address', async () => {
    const { userId } = await app().matrix.register();
    const query = new URLSearchParams({
      device_id: 'FALLBACK',
      initial_device_display_name: '"Old" <client>',
      refresh_token: 'true',
    }).toString();
    const { session } = await login(`${LOGIN}?${query}`, userId);
    expect(session).toMatchObject({ device_id: 'FALLBACK', refresh_token: expect.stringMatching(/^mxr_/) });
    const accessToken = session!['access_token']!;
    const devices = await app().matrix.devices({ userId, deviceId: 'FALLBACK', accessToken });
    expect(devices).toContainEqual({ device_id: 'FALLBACK', display_name: '"Old" <client>' });
    // Neither names nor passwords.
    const page = await new Visitor(app()).get(`${LOGIN}?username=${userId}&password=${PASSWORD}`);
    expect([valueOf(page, 'username'), valueOf(page, 'password')]).toEqual(['', '']);
  });

  it('hands over a device whose ID looks like HTML as it is', async () => {
    const { userId } = await app().matrix.register();
    const deviceId = `'"><script>alert(1)</script>&amp;<!--`;
    const query = new URLSearchParams({ device_id: deviceId }).toString();
    const { answer, session } = await login(`${LOGIN}?${query}`, userId);
    expect(session).toMatchObject({ device_id: deviceId });
    expect(skeletonOf(answer.text)).toEqual(skeletonOf((await login(LOGIN, userId)).answer.text));
  });

  it('gives no refresh token unless the client asks for one', async () => {
    const { userId } = await app().matrix.register();
    expect((await login(LOGIN, userId)).session).not.toHaveProperty('refresh_token');
  });

  it('refuses a wrong password like an unknown user', async () => {
    const { userId } = await app().matrix.register();
    const wrong = await login(LOGIN, userId, 'my wrong one');
    const unknown = await login(LOGIN, 'nobody-here', 'my wrong one');
    for (const { answer, session } of [wrong, unknown]) {
      expect(answer.status).toBe(401);
      expect(session).toBeNull();
      expect(textOf(answer)).toContain('The user name or the password is wrong.');
      expect(answer.text).not.toContain('my wrong one');
    }
    expect(valueOf(wrong.answer, 'username')).toBe(userId);
    await expect.poll(() => auditOf(app(), userId, 'refused')).toHaveLength(1);
  });

  it('keeps the device through a wrong password', async () => {
    const { userId } = await app().matrix.register();
    const visitor = new Visitor(app());
    const { answer } = await login(`${LOGIN}?device_id=KEPT`, userId, 'wrong', visitor);
    const right = await visitor.submit(answer, { username: userId, password: PASSWORD });
    expect(valuesOf(right.text, 'data-login')[0]).toContain('"device_id":"KEPT"');
  });

  it('does not blame the password for a device that cannot be', async () => {
    const { userId } = await app().matrix.register();
    const { answer, session } = await login(`${LOGIN}?device_id=${'x'.repeat(300)}`, userId);
    expect(session).toBeNull();
    expect(answer.status).toBe(400);
    expect(textOf(answer)).not.toContain('The user name or the password is wrong.');
  });

  it('signs nobody in on the pages themselves', async () => {
    const { userId } = await app().matrix.register();
    const visitor = new Visitor(app());
    await login(LOGIN, userId, PASSWORD, visitor);
    expect(await isIn(visitor)).toBe(false);
    expect(visitor.cookie('__Host-session')).toBeUndefined();
  });

  it('is a login of its own, not one of an OAuth 2.0 client', async () => {
    const { userId } = await app().matrix.register();
    const { session } = await login(LOGIN, userId);
    const answer = await app()
      .matrix.call(
        { userId, deviceId: session!['device_id']!, accessToken: session!['access_token']! },
        'post',
        '/delete_devices',
      )
      .send({ devices: ['X'] })
      .expect(401);
    expect(answer.body.flows).toEqual([{ stages: ['m.login.password'] }]);
  });
});

const stagePath = (stage: string, session: string, base = V3) =>
  `${base}/auth/${encodeURIComponent(stage)}/fallback/web?session=${encodeURIComponent(session)}`;

describe('The fallback of a stage', () => {
  it.each([V3, '/_matrix/client/r0'])('takes the password at %s, for one request', async (base) => {
    const session = await app().matrix.register();
    const other = await app().matrix.login(session.userId);
    const remove = (auth?: object) =>
      app().matrix.call(session, 'delete', `/devices/${other.deviceId}`).send({ auth });
    const { body } = await remove().expect(401);
    const visitor = new Visitor(app());
    const page = await visitor.get(stagePath('m.login.password', body.session as string, base));
    expect([page.status, valueOf(page, 'password')]).toEqual([200, '']);
    // Opening the page proves nothing.
    await remove({ session: body.session }).expect(401);
    const answer = await visitor.submit(page, { username: session.userId, password: PASSWORD });
    expect([answer.status, answer.text.includes('data-auth-done')]).toEqual([200, true]);
    await remove({ session: body.session }).expect(200, {});
    expect((await app().matrix.whoami(other)).status).toBe(401);
    // The request was made.
    const again = await visitor.get(stagePath('m.login.password', body.session as string, base));
    expect(again.status).toBe(404);
  });

  it('refuses a wrong password, and that of another user', async () => {
    const [session, other] = [await app().matrix.register(), await app().matrix.register()];
    const deactivate = (auth?: object) =>
      app().matrix.call(session, 'post', '/account/deactivate').send({ auth });
    const { body } = await deactivate().expect(401);
    const visitor = new Visitor(app());
    const page = await visitor.get(stagePath('m.login.password', body.session as string));
    for (const [username, password] of [
      [session.userId, 'my wrong one'],
      [other.userId, PASSWORD],
      ['nobody-here', PASSWORD],
      ['', PASSWORD],
      [session.userId, ''],
    ] as const) {
      const answer = await visitor.submit(page, { username, password });
      expect([username, answer.status]).toEqual([username, 401]);
      expect(answer.text).not.toContain('my wrong one');
      expect(answer.text).not.toContain('data-auth-done');
    }
    await deactivate({ session: body.session }).expect(401);
    await visitor.submit(page, { username: session.userId, password: PASSWORD });
    await deactivate({ session: body.session }).expect(200);
  });

  it('takes the dummy of a registration', async () => {
    const username = uniqueUsername();
    const register = (auth?: object) =>
      app().http.post(`${V3}/register`).send({ username, password: PASSWORD, auth });
    const { body } = await register().expect(401);
    const visitor = new Visitor(app());
    const page = await visitor.get(stagePath('m.login.dummy', body.session as string));
    expect(textOf(page)).toContain('Press the button to go on.');
    await register({ session: body.session }).expect(401);
    const answer = await visitor.submit(page);
    expect(answer.text).toContain('data-auth-done');
    const { body: registered } = await register({ session: body.session }).expect(200);
    expect(registered.user_id).toBe(`@${username}:localhost`);
  });

  it('of the password proves nothing in a registration', async () => {
    const other = await app().matrix.register();
    const username = uniqueUsername();
    const register = (auth?: object) =>
      app().http.post(`${V3}/register`).send({ username, password: PASSWORD, auth });
    const { body } = await register().expect(401);
    const visitor = new Visitor(app());
    const page = await visitor.get(stagePath('m.login.password', body.session as string));
    if (page.status === 200) await visitor.submit(page, { username: other.userId, password: PASSWORD });
    await register({ session: body.session }).expect(401);
    const { body: registered } = await register({
      type: 'm.login.dummy',
      session: body.session,
    }).expect(200);
    expect(registered.user_id).toBe(`@${username}:localhost`);
  });

  it('lets somebody who is not logged in change their password, after the old one', async () => {
    const session = await app().matrix.register();
    const change = (auth?: object) =>
      app().http.post(`${V3}/account/password`).send({ new_password: 'another quite long phrase', auth });
    const { body } = await change().expect(401);
    const visitor = new Visitor(app());
    const page = await visitor.get(stagePath('m.login.password', body.session as string));
    await change({ session: body.session }).expect(401);
    await visitor.submit(page, { username: session.userId, password: PASSWORD });
    await change({ session: body.session }).expect(200);
    await app().matrix.login(session.userId, { password: 'another quite long phrase' });
  });

  it('keeps the window that has opened it, which waits for its message', async () => {
    const session = await app().matrix.register();
    const { body } = await app().matrix.call(session, 'post', '/account/deactivate').send({}).expect(401);
    const visitor = new Visitor(app());
    const page = await visitor.get(stagePath('m.login.password', body.session as string));
    const done = await visitor.submit(page, { username: session.userId, password: PASSWORD });
    // Any other value takes `window.opener` away, because clients are served by other hosts (HTML, "matching COOPs").
    for (const { headers } of [page, done])
      expect(headers['cross-origin-opener-policy'] ?? 'unsafe-none').toBe('unsafe-none');
  });

  it('goes to the account page for what is done there', async () => {
    for (const stage of ['m.oauth', 'org.matrix.cross_signing_reset']) {
      const answer = await new Visitor(app()).get(stagePath(stage, 'any'));
      expect(answer).toMatchObject({
        status: 303,
        headers: {
          location: expect.stringMatching(
            /^(?:https:\/\/matrix\.example\.org)?\/account\?action=org\.matrix\.cross_signing_reset$/,
          ),
        },
      });
    }
  });

  it.each(['m.login.password', 'm.login.dummy', 'm.login.email.identity', 'toString', '__proto__'])(
    'is not there for an unknown session, or an unknown stage: %s',
    async (stage) => {
      const session = await app().matrix.register();
      const { body } = await app().matrix.call(session, 'post', '/account/deactivate').send({}).expect(401);
      const isKnown = ['m.login.password', 'm.login.dummy'].includes(stage);
      const ids = isKnown ? ['', 'unknown', "'"] : ['', 'unknown', body.session as string];
      const visitor = new Visitor(app());
      const { csrf } = formsOf((await visitor.get('/account/login')).text)[0]!.hidden as { csrf: string };
      for (const id of ids) {
        const path = stagePath(stage, id);
        for (const answer of [
          await visitor.get(path),
          await visitor.post(path.split('?')[0]!, { csrf, session: id, username: 'x', password: 'x' }),
        ]) {
          expect([id, answer.status]).toEqual([id, 404]);
          expect(textOf(answer)).toContain('This request has expired.');
        }
      }
    },
  );

  it('is not there for a session that has expired', async () => {
    const session = await app().matrix.register();
    const { body } = await app().matrix.call(session, 'post', '/account/deactivate').send({}).expect(401);
    const visitor = new Visitor(app());
    const page = await visitor.get(stagePath('m.login.password', body.session as string));
    app().clock.advance(61 * 60_000);
    const late = { username: session.userId, password: PASSWORD };
    expect((await visitor.submit(page, late)).status).toBe(404);
    expect((await visitor.get(stagePath('m.login.password', body.session as string))).status).toBe(404);
  });
});

describe('The fallback of the registration token', () => {
  const byToken = useApp({
    variables: { ...OAUTH_VARIABLES, REGISTRATION: 'token', REGISTRATION_TOKENS: 'let-me-in' },
  });

  it('takes a valid one, and says what is wrong with others', async () => {
    const username = uniqueUsername();
    const register = (auth?: object) =>
      byToken().http.post(`${V3}/register`).send({ username, password: PASSWORD, auth });
    const { body } = await register().expect(401);
    const visitor = new Visitor(byToken());
    const page = await visitor.get(stagePath('m.login.registration_token', body.session as string));
    for (const token of ['', 'wrong']) {
      const answer = await visitor.submit(page, { token });
      expect([answer.status, textOf(answer).includes('This registration token is not valid.')]).toEqual([
        401,
        true,
      ]);
    }
    await register({ session: body.session }).expect(401);
    // Another stage is no substitute.
    const dummy = await visitor.get(stagePath('m.login.dummy', body.session as string));
    if (dummy.status === 200) await visitor.submit(dummy);
    await register({ session: body.session }).expect(401);
    const answer = await visitor.submit(page, { token: 'let-me-in' });
    expect(answer.text).toContain('data-auth-done');
    await register({ session: body.session }).expect(200);
  });
});

describe('The limits of the fallback pages', () => {
  const limited = useApp({
    variables: {
      ...OAUTH_VARIABLES,
      RATE_LIMITS: 'on',
      RATE_LIMIT_LOGIN_FAILED_ACCOUNT: '2/1h',
      RATE_LIMIT_LOGIN_FAILED_ADDRESS: '100/1h',
    },
  });

  it('are those of failed logins', async () => {
    for (const kind of ['login', 'stage']) {
      const session = await limited().matrix.register();
      const { body } = await limited()
        .matrix.call(session, 'post', '/account/deactivate')
        .send({})
        .expect(401);
      const visitor = new Visitor(limited());
      const page = await visitor.get(
        kind === 'login' ? LOGIN : stagePath('m.login.password', body.session as string),
      );
      const statuses = [];
      for (const password of ['wrong', 'wrong', PASSWORD])
        statuses.push((await visitor.submit(page, { username: session.userId, password })).status);
      expect([kind, ...statuses]).toEqual([kind, 401, 401, 429]);
    }
  });
});

describe('Pages with a host of their own', () => {
  const apart = useApp({
    variables: { ...OAUTH_VARIABLES, ACCOUNT_BASE_URL: 'https://account.example.org' },
  });

  it('are where the metadata and the policy say', async () => {
    const { body } = await apart().http.get('/_matrix/client/v1/auth_metadata').expect(200);
    expect(body).toMatchObject({
      issuer: 'https://matrix.example.org/',
      authorization_endpoint: 'https://account.example.org/oauth2/auth',
      token_endpoint: 'https://matrix.example.org/oauth2/token',
      account_management_uri: 'https://account.example.org/account',
    });
    const page = await new Visitor(apart()).get('/account/login');
    expect(page.headers['content-security-policy']).toContain(
      'script-src https://account.example.org/account/pages.js;',
    );
  });

  it('take forms from their own host, and fallback pages from that of the API', async () => {
    const { userId } = await apart().matrix.register();
    for (const [origin, path, status] of [
      ['https://account.example.org', '/account/login', 303],
      ['https://matrix.example.org', LOGIN, 200],
      ['https://example.org', '/account/login', 403],
      ['https://x.account.example.org', '/account/login', 403],
    ] as const) {
      const visitor = new Visitor(apart());
      const page = await visitor.get(path);
      const answer = await visitor.submit(
        page,
        { username: userId, password: PASSWORD },
        { headers: { Origin: origin } },
      );
      expect([origin, answer.status]).toEqual([origin, status]);
    }
  });

  it('are where the fallback of their stage leads to', async () => {
    const answer = await new Visitor(apart()).get(stagePath('m.oauth', 'any'));
    expect(answer.headers['location']).toBe(
      'https://account.example.org/account?action=org.matrix.cross_signing_reset',
    );
  });
});

describe('Without passwords', () => {
  const other = useApp({ variables: OAUTH_VARIABLES, without: ['password-login'] });

  it('the login fallback asks for none, and takes none', async () => {
    const session = await other().matrix.register();
    const visitor = new Visitor(other());
    const page = await visitor.get(LOGIN);
    expect(valueOf(page, 'password')).toBeNull();
    const { csrf } = formsOf((await visitor.get('/account/register')).text)[0]!.hidden as { csrf: string };
    const answer = await visitor.post(LOGIN, { csrf, username: session.userId, password: PASSWORD });
    expect(answer.status).toBe(401);
    expect(answer.text).not.toContain('data-login');
  });
});
