import { describe, expect, it } from 'vitest';
import { type ClientSession, PASSWORD, passwordOf, V3 } from '../../src/testing/index.js';
import { newDeviceId, OAUTH_BASE, OAUTH_VARIABLES, OAuthClient } from '../support/oauth.js';
import { SigningUser } from '../support/signing.js';
import { TestApp, useApp } from '../support/test-app.js';
import { formsOf, textOf, valueOf, type Visitor } from '../support/visitor.js';
import { auditOf, signedIn } from './people.js';

const PAGE = '/account?action=org.matrix.cross_signing_reset';
const STAGES = ['m.oauth', 'org.matrix.cross_signing_reset'];

const app = useApp({ variables: OAUTH_VARIABLES });

interface Someone {
  /** A session of the login API. */
  readonly session: ClientSession;
  /** A session of OAuth. */
  readonly web: ClientSession;
  readonly visitor: Visitor;
  readonly keys: SigningUser;
}

async function begin(visitor: Visitor, { userId }: ClientSession): Promise<ClientSession> {
  const deviceId = newDeviceId();
  const tokens = await (await OAuthClient.register(app())).begin(visitor, deviceId);
  return { userId, deviceId, accessToken: tokens.access_token };
}

const upload = (session: ClientSession, body: object, on = app()) =>
  on.matrix.call(session, 'post', '/keys/device_signing/upload').send(body);

/** A user with cross-signing keys. */
async function someone(): Promise<Someone> {
  const session = await app().matrix.register();
  const visitor = await signedIn(app(), session.userId);
  const web = await begin(visitor, session);
  const keys = new SigningUser(session.userId);
  await upload(web, keys.upload()).expect(200, {});
  return { session, web, visitor, keys };
}

async function masterOf(session: ClientSession): Promise<unknown> {
  const { body } = await app()
    .matrix.call(session, 'post', '/keys/query')
    .send({ device_keys: { [session.userId]: [] } })
    .expect(200);
  return body.master_keys[session.userId];
}

const sessionsOf = ({ userId }: ClientSession) =>
  app().sql<{ session_id: string }>('SELECT session_id FROM uia_sessions WHERE user_id = $1', [userId]);

/** Approves what the page shows. */
async function approve(visitor: Visitor) {
  return visitor.submit(await visitor.get(PAGE), {}, { action: '/account/reset' });
}

describe('Other cross-signing keys of an OAuth 2.0 client', () => {
  it('lead to a page, with both names of the stage, and without an error code', async () => {
    const { web } = await someone();
    const { body } = await upload(web, new SigningUser(web.userId).upload()).expect(401);
    const url = `${OAUTH_BASE}${PAGE}`;
    expect(body).toEqual({
      session: expect.any(String),
      flows: STAGES.map((stage) => ({ stages: [stage] })),
      params: Object.fromEntries(STAGES.map((stage) => [stage, { url }])),
    });
  });

  it('need no page if they are the first, or those that are there', async () => {
    const { web, keys } = await someone();
    await upload(web, keys.upload()).expect(200, {});
    await upload(web, { master_key: keys.masterKey() }).expect(200, {});
    expect(await sessionsOf(web)).toEqual([]);
  });

  it('are asked for by one session, however often the client asks without naming it', async () => {
    const { web, visitor } = await someone();
    const next = new SigningUser(web.userId);
    const body = next.upload();
    const named = new Set<string>();
    for (let polls = 0; polls < 50; polls += 1)
      named.add((await upload(web, body).expect(401)).body.session as string);
    expect([...named]).toEqual((await sessionsOf(web)).map(({ session_id }) => session_id));
    await approve(visitor);
    await upload(web, body).expect(200, {});
    expect(await masterOf(web)).toEqual(next.masterKey());
  });

  it('are stored once the user has agreed, even if the client asked twice at once at first', async () => {
    const { web, visitor } = await someone();
    const next = new SigningUser(web.userId);
    const body = next.upload();
    await Promise.all([1, 2, 3, 4].map(() => upload(web, body).expect(401)));
    expect((await approve(visitor)).status).toBe(200);
    await upload(web, body).expect(200, {});
    expect(await masterOf(web)).toEqual(next.masterKey());
  });

  it.each<[string, (keys: object, session: string) => object]>([
    ['with the session alone', (_, session) => ({ auth: { session } })],
    ['with the session and the keys', (keys, session) => ({ ...keys, auth: { session } })],
    ['with the stage and the session', (keys, session) => ({ ...keys, auth: { type: 'm.oauth', session } })],
    [
      'with the older stage and the session',
      (keys, session) => ({ ...keys, auth: { type: 'org.matrix.cross_signing_reset', session } }),
    ],
    ['without any auth', (keys) => keys],
    ['with an empty auth', (keys) => ({ ...keys, auth: {} })],
  ])('are stored after the approval, and not before: %s', async (_, bodyOf) => {
    const { web, visitor, keys } = await someone();
    const next = new SigningUser(web.userId);
    const { body: challenge } = await upload(web, next.upload()).expect(401);
    const body = bodyOf(next.upload(), challenge.session as string);
    const again = await upload(web, body).expect(401);
    expect(again.body).toEqual(challenge);
    expect(await masterOf(web)).toEqual(keys.masterKey());
    const answer = await approve(visitor);
    expect([answer.status, textOf(answer).includes('The reset is approved')]).toEqual([200, true]);
    expect(await masterOf(web)).toEqual(keys.masterKey());
    await upload(web, body).expect(200, {});
    expect(await masterOf(web)).toEqual(next.masterKey());
    expect(await auditOf(app(), web.userId, 'reset_approved')).toEqual([
      expect.objectContaining({ device_id: web.deviceId }),
    ]);
    // The answer may have been lost.
    await upload(web, body).expect(200, {});
  });

  it('cannot be proven by a password in the call', async () => {
    const { web, keys } = await someone();
    const next = new SigningUser(web.userId).upload();
    const { body } = await upload(web, next).expect(401);
    for (const session of [undefined, body.session as string]) {
      const answer = await upload(web, { ...next, auth: { ...passwordOf(web), session } }).expect(401);
      expect(answer.body.flows).toEqual(STAGES.map((stage) => ({ stages: [stage] })));
    }
    expect(await masterOf(web)).toEqual(keys.masterKey());
  });

  it('are approved once: further keys need another approval', async () => {
    const { web, visitor } = await someone();
    const [next, last] = [new SigningUser(web.userId), new SigningUser(web.userId)];
    const { body: first } = await upload(web, next.upload()).expect(401);
    await approve(visitor);
    await upload(web, next.upload()).expect(200);
    const { body: second } = await upload(web, last.upload()).expect(401);
    expect(second.session).not.toBe(first.session);
    await upload(web, { ...last.upload(), auth: { session: first.session } }).expect(403);
    expect(await masterOf(web)).toEqual(next.masterKey());
  });

  it('are approved for the keys that were asked for, and no others', async () => {
    const { web, visitor, keys } = await someone();
    const [asked, other] = [new SigningUser(web.userId), new SigningUser(web.userId)];
    const { body: first } = await upload(web, asked.upload()).expect(401);
    await approve(visitor);
    const { body: second } = await upload(web, other.upload()).expect(401);
    expect(second.session).not.toBe(first.session);
    await upload(web, { ...other.upload(), auth: { session: first.session } }).expect(403);
    expect(await masterOf(web)).toEqual(keys.masterKey());
  });

  it('are approved for the device that asked, and no other', async () => {
    const { session, web, visitor, keys } = await someone();
    const other = await begin(visitor, session);
    const next = new SigningUser(web.userId);
    const { body: first } = await upload(web, next.upload()).expect(401);
    await approve(visitor);
    const { body: second } = await upload(other, next.upload()).expect(401);
    expect(second.session).not.toBe(first.session);
    await upload(other, { ...next.upload(), auth: { session: first.session } }).expect(403);
    expect(await masterOf(web)).toEqual(keys.masterKey());
    await upload(web, next.upload()).expect(200);
  });

  it('are approved for ten minutes', async () => {
    const { session, visitor, keys } = await someone();
    const web = await begin(visitor, session);
    const next = new SigningUser(web.userId);
    const { body: first } = await upload(web, next.upload()).expect(401);
    await approve(visitor);
    app().clock.advance(10 * 60_000 + 1_000);
    const { body: second } = await upload(web, next.upload()).expect(401);
    expect(second.session).not.toBe(first.session);
    expect(await masterOf(web)).toEqual(keys.masterKey());
  });

  it('are not approved by another user', async () => {
    const [alice, bob] = [await someone(), await someone()];
    const { body: alices } = await upload(alice.web, new SigningUser(alice.web.userId).upload()).expect(401);
    await upload(bob.web, new SigningUser(bob.web.userId).upload()).expect(401);
    const page = await bob.visitor.get(PAGE);
    expect(textOf(page)).not.toContain(alice.web.deviceId);
    const answer = await bob.visitor.submit(
      page,
      { session: alices.session as string },
      { action: '/account/reset' },
    );
    expect(answer.status).toBe(404);
    await upload(alice.web, { auth: { session: alices.session } }).expect(401);
  });

  it('end with the device that asked', async () => {
    const { web, visitor } = await someone();
    await upload(web, new SigningUser(web.userId).upload()).expect(401);
    const page = await visitor.get(PAGE);
    await app().matrix.logout(web).expect(200);
    expect((await visitor.submit(page, {}, { action: '/account/reset' })).status).toBe(404);
    expect(textOf(await visitor.get(PAGE))).toContain('No device waits');
  });
});

describe('The page to approve a reset', () => {
  it('shows the device that waits, and what the reset means', async () => {
    const { web, visitor } = await someone();
    expect(textOf(await visitor.get(PAGE))).toContain('No device waits for you to approve a reset.');
    await upload(web, new SigningUser(web.userId).upload()).expect(401);
    const page = await visitor.get(PAGE);
    expect(textOf(page)).toContain(`Device ID ${web.deviceId}`);
    expect(textOf(page)).toContain('Name Example App');
    expect(textOf(page)).toContain('Whoever approves a reset that they did not begin');
    // Opening it has not approved anything.
    await upload(web, new SigningUser(web.userId).upload()).expect(401);
  });

  it('approves nothing twice', async () => {
    const { web, visitor } = await someone();
    await upload(web, new SigningUser(web.userId).upload()).expect(401);
    const page = await visitor.get(PAGE);
    const statuses = [];
    for (let times = 0; times < 2; times += 1)
      statuses.push((await visitor.submit(page, {}, { action: '/account/reset' })).status);
    expect(statuses).toEqual([200, 404]);
    expect(await auditOf(app(), web.userId, 'reset_approved')).toHaveLength(1);
    expect(textOf(await visitor.get(PAGE))).toContain('No device waits');
  });

  it('approves neither a request of the login API nor an unknown one', async () => {
    const { session, visitor, web } = await someone();
    await upload(web, new SigningUser(web.userId).upload()).expect(401);
    const page = await visitor.get(PAGE);
    const { body } = await app().matrix.call(session, 'post', '/account/deactivate').send({}).expect(401);
    for (const one of [body.session as string, 'unknown', '']) {
      const answer = await visitor.submit(page, { session: one }, { action: '/account/reset' });
      expect([one, answer.status]).toEqual([one, 404]);
    }
    await app()
      .matrix.call(session, 'post', '/account/deactivate')
      .send({ auth: { session: body.session } })
      .expect(401);
  });

  it('shows no session of the login API, which asks for the password itself', async () => {
    const { session, visitor } = await someone();
    await upload(session, new SigningUser(session.userId).upload()).expect(401);
    const page = await visitor.get(PAGE);
    expect(textOf(page)).toContain('No device waits');
    expect(formsOf(page.text)).toEqual([]);
  });

  it('shows the client that waits, even after a session of the login API has asked for other keys', async () => {
    const { session, web, visitor } = await someone();
    const next = new SigningUser(web.userId);
    await upload(web, next.upload()).expect(401);
    app().clock.advance(1_000);
    await upload(session, new SigningUser(session.userId).upload()).expect(401);
    expect(textOf(await visitor.get(PAGE))).toContain(web.deviceId);
    await approve(visitor);
    await upload(web, next.upload()).expect(200);
    expect(await masterOf(web)).toEqual(next.masterKey());
  });

  it('needs the password when the sign-in is older than five minutes', async () => {
    const { web, visitor } = await someone();
    const next = new SigningUser(web.userId);
    await upload(web, next.upload()).expect(401);
    app().clock.advance(5 * 60_000 + 1_000);
    const page = await visitor.get(PAGE);
    expect(valueOf(page, 'password')).toBe('');
    for (const password of ['', 'wrong']) {
      const answer = await visitor.submit(page, { password }, { action: '/account/reset' });
      expect(answer.status).toBe(401);
    }
    await upload(web, next.upload()).expect(401);
    const answer = await visitor.submit(page, { password: PASSWORD }, { action: '/account/reset' });
    expect(answer.status).toBe(200);
    await upload(web, next.upload()).expect(200);
  });

  it('does nothing for somebody who was signed out meanwhile', async () => {
    const { session, web, visitor } = await someone();
    await upload(web, new SigningUser(web.userId).upload()).expect(401);
    const other = await signedIn(app(), session.userId);
    const page = await visitor.get(PAGE);
    const { hidden } = formsOf((await other.get('/account')).text).find(
      ({ action }) => action === '/account/browser',
    )!;
    await other.post('/account/browser', hidden);
    expect((await visitor.submit(page, {}, { action: '/account/reset' })).status).toBe(403);
    expect(await auditOf(app(), web.userId, 'reset_approved')).toEqual([]);
  });
});

describe('A session of the login API', () => {
  it('still proves it by the password', async () => {
    const { session } = await someone();
    const next = new SigningUser(session.userId);
    const { body } = await upload(session, next.upload()).expect(401);
    expect(body).toMatchObject({ flows: [{ stages: ['m.login.password'] }], params: {} });
    const auth = { ...passwordOf(session), session: body.session as string };
    await upload(session, { ...next.upload(), auth }).expect(200, {});
    expect(await masterOf(session)).toEqual(next.masterKey());
  });
});

describe('What OAuth 2.0 clients leave to the account page', () => {
  const calls: [string, 'post' | 'delete', (session: ClientSession) => string, object][] = [
    ['DELETE /devices/{id}', 'delete', ({ deviceId }) => `${V3}/devices/${deviceId}`, {}],
    ['POST /delete_devices', 'post', () => `${V3}/delete_devices`, { devices: ['OTHER'] }],
    [
      'POST /account/password',
      'post',
      () => `${V3}/account/password`,
      { new_password: 'another long phrase' },
    ],
    ['POST /account/deactivate', 'post', () => `${V3}/account/deactivate`, {}],
    ['POST /login/get_token', 'post', () => '/_matrix/client/v1/login/get_token', {}],
  ];
  const call = (on: TestApp, { accessToken }: ClientSession, method: 'post' | 'delete', path: string) =>
    on.http[method](path).auth(accessToken, { type: 'bearer' });

  it.each(calls)('%s is refused, with the address of the page', async (_, method, path, body) => {
    const { web, session } = await someone();
    for (const auth of [undefined, passwordOf(web)]) {
      const answer = await call(app(), web, method, path(session))
        .send({ ...body, auth })
        .expect(403);
      expect(answer.body).toEqual({
        errcode: 'M_FORBIDDEN',
        error: expect.stringContaining(`${OAUTH_BASE}/account`),
      });
    }
    expect(await app().matrix.devices(session)).toHaveLength(2);
    expect((await app().matrix.login(session.userId)).userId).toBe(session.userId);
  });

  it.each(calls)('%s stays open for sessions of the login API', async (_, method, path, body) => {
    const session = await app().matrix.register();
    const answer = await call(app(), session, method, path(session)).send(body).expect(401);
    expect(answer.body.flows).toEqual([{ stages: ['m.login.password'] }]);
  });

  it('is asked for as before, once there are no such pages any more', async () => {
    const { web, session, keys } = await someone();
    const next = new SigningUser(web.userId);
    await upload(web, next.upload()).expect(401);
    const off = await TestApp.start({
      database: app().database,
      variables: { ...OAUTH_VARIABLES, OAUTH: 'off' },
    });
    try {
      const flows = [{ stages: ['m.login.password'] }];
      for (const [, method, path, body] of calls) {
        const answer = await call(off, web, method, path(session)).send(body).expect(401);
        expect(answer.body.flows).toEqual(flows);
      }
      const challenge = await upload(web, next.upload(), off).expect(401);
      expect(challenge.body.flows).toEqual(flows);
      const auth = { ...passwordOf(web), session: challenge.body.session as string };
      await upload(web, { ...next.upload(), auth }, off).expect(200);
      expect(await masterOf(session)).toEqual(next.masterKey());
      expect(next.masterKey()).not.toEqual(keys.masterKey());
      await off.http.get(PAGE).expect(404);
      await off.http.get('/account/login').expect(404);
    } finally {
      await off.stop();
    }
  });
});
