import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Injectable, Module, type OnModuleInit } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LoginFlow, LoginFlows, MatrixError } from '../../src/index.js';
import { type ClientSession, PASSWORD, passwordOf, uniqueUsername, V3 } from '../../src/testing/index.js';
import { newPkce, OAUTH_VARIABLES, OAuthClient } from '../support/oauth.js';
import { TestApp, useApp } from '../support/test-app.js';
import { formsOf, textOf, unescaped, valueOf, Visitor } from '../support/visitor.js';

const NEW_PASSWORD = 'another quite long phrase';
const WRONG = 'The user name or the password is wrong.';
const ADMIN = '@admin:localhost';

const REGISTRATION = `
id: irc
url: http://localhost:9999
as_token: the-as-token
hs_token: the-hs-token
sender_localpart: irc_bot
namespaces:
  users:
    - exclusive: true
      regex: '@irc_.*:localhost'
  aliases: []
rate_limited: false
`;

/** A team's own way to sign in, with a form. */
@Injectable()
class BadgeLogin extends LoginFlow implements OnModuleInit {
  readonly type = 'org.example.badge';
  override readonly form = {
    title: 'Sign in with your badge',
    fields: [{ name: 'badge', label: 'Number of your <badge>', type: 'text' as const }],
  };

  constructor(private readonly flows: LoginFlows) {
    super();
  }

  onModuleInit(): void {
    this.flows.add(this);
  }

  async prove({ badge }: Readonly<Record<string, unknown>>): Promise<string> {
    if (badge === '') throw MatrixError.missingParam('badge');
    if (badge === 'forged') throw MatrixError.forbidden('This badge is forged');
    return `@${badge as string}:localhost`;
  }
}

/** One that clients alone offer. */
@Injectable()
class SilentLogin extends LoginFlow implements OnModuleInit {
  readonly type = 'org.example.silent';

  constructor(private readonly flows: LoginFlows) {
    super();
  }

  onModuleInit(): void {
    this.flows.add(this);
  }

  async prove(): Promise<string> {
    return '@silent:localhost';
  }
}

/** Single sign-on: people prove at another place who they are. */
@Injectable()
class CompanyLogin extends LoginFlow implements OnModuleInit {
  readonly type = 'org.example.company';
  override readonly elsewhere = {
    title: 'Sign in with <Company>',
    url: 'https://id.example.org/start?app=matrix',
  };
  private readonly used = new Set<unknown>();

  constructor(private readonly flows: LoginFlows) {
    super();
  }

  onModuleInit(): void {
    this.flows.add(this);
  }

  async prove({ code }: Readonly<Record<string, unknown>>): Promise<string> {
    if (typeof code !== 'string' || this.used.has(code)) throw MatrixError.forbidden('This code is not good');
    this.used.add(code);
    return `@${code}:localhost`;
  }
}

@Module({ providers: [BadgeLogin, CompanyLogin, SilentLogin] })
class BadgeModule {}

let directory: string;
let app: TestApp;
let admin: ClientSession;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mss-pages-'));
  const file = join(directory, 'irc.yaml');
  await writeFile(file, REGISTRATION);
  app = await TestApp.start({
    extensions: [BadgeModule],
    variables: { ...OAUTH_VARIABLES, APPSERVICE_FILES: file, GUESTS: 'allowed', SERVER_ADMINS: ADMIN },
  });
  admin = await app.createUser('admin');
});
afterAll(async () => {
  await app?.stop();
  await rm(directory, { recursive: true, force: true });
});

/** Sends the form of the sign-in page, and returns the answer to it. */
async function attempt(visitor: Visitor, username: string, password: string, next = '/account') {
  const page = await visitor.get(`/account/login?continue=${encodeURIComponent(next)}`);
  return visitor.submit(page, { username, password });
}

async function signedIn(user: string, password = PASSWORD): Promise<Visitor> {
  const visitor = new Visitor(app);
  expect((await visitor.signIn(user, password)).status).toBe(200);
  return visitor;
}

/** Whether the browser is signed in. */
async function isIn(visitor: Visitor): Promise<boolean> {
  return (await visitor.get('/account')).status === 200;
}

const browsersOf = (userId: string) =>
  app.sql<{ session_digest: Buffer }>('SELECT session_digest FROM browser_sessions WHERE user_id = $1', [
    userId,
  ]);
const actionsOf = async (userId: string) =>
  (
    await app.sql<{ action: string }>(
      'SELECT action FROM audit_entries WHERE user_id = $1 ORDER BY at, entry_id',
      [userId],
    )
  ).map(({ action }) => action);

describe('The sign-in page', () => {
  it('signs in with a user ID or a user name in any case, and goes on to the account', async () => {
    const alice = await app.matrix.register();
    const name = alice.userId.slice(1, alice.userId.indexOf(':'));
    for (const typed of [alice.userId, name, name.toUpperCase()]) {
      const visitor = new Visitor(app);
      const answer = await attempt(visitor, typed, PASSWORD);
      expect(answer).toMatchObject({ status: 303, headers: { location: '/account' } });
      expect(textOf(await visitor.follow(answer))).toContain(`Signed in as ${alice.userId}`);
    }
    expect((await actionsOf(alice.userId)).filter((one) => one === 'browser_login')).toHaveLength(3);
  });

  it('refuses a wrong password and an unknown user alike, keeps the name and never shows the password', async () => {
    const { userId } = await app.matrix.register();
    const wrong = await attempt(new Visitor(app), userId, 'my secret "typo"');
    const unknown = await attempt(new Visitor(app), '@nobody-here:localhost', 'my secret "typo"');
    const normal = (text: string, name: string) =>
      text.replaceAll(name, 'NAME').replaceAll(/name="csrf" value="[^"]*"|state=[\w.-]*/g, '');
    expect([wrong.status, unknown.status]).toEqual([401, 401]);
    expect(textOf(wrong)).toContain(WRONG);
    expect(normal(wrong.text, userId)).toBe(normal(unknown.text, '@nobody-here:localhost'));
    expect(valueOf(wrong, 'username')).toBe(userId);
    expect(valueOf(wrong, 'password')).toBe('');
    expect(wrong.text).not.toContain('my secret');
    expect(wrong.headers['set-cookie']).toBeUndefined();
    expect(await browsersOf(userId)).toEqual([]);
  });

  it('refuses a form without a name or a password in the same way', async () => {
    const { userId } = await app.matrix.register();
    for (const [username, password] of [
      [userId, ''],
      ['', PASSWORD],
    ]) {
      const answer = await attempt(new Visitor(app), username!, password!);
      expect([answer.status, textOf(answer).includes(WRONG)]).toEqual([401, true]);
    }
  });

  it('records a refusal for the user that was named', async () => {
    const { userId } = await app.matrix.register();
    await attempt(new Visitor(app), userId, 'wrong');
    const refusals = () =>
      app.sql(`SELECT reason, operation FROM audit_entries WHERE user_id = $1 AND action = 'refused'`, [
        userId,
      ]);
    // Refusals are recorded in the background.
    await expect.poll(refusals).toEqual([{ reason: 'M_FORBIDDEN', operation: 'POST /account/login' }]);
  });

  it('refuses locked and deactivated users, guests and users of bridges like a wrong password', async () => {
    const wrong = await attempt(new Visitor(app), 'nobody-here', 'wrong');
    const locked = await app.matrix.register();
    await app.http
      .put(`/_matrix/client/v1/admin/lock/${locked.userId}`)
      .auth(admin.accessToken, { type: 'bearer' })
      .send({ locked: true })
      .expect(200);
    const gone = await app.matrix.register();
    await app.matrix
      .call(gone, 'post', '/account/deactivate')
      .send({ auth: passwordOf(gone) })
      .expect(200);
    const { body: guest } = await app.http.post(`${V3}/register?kind=guest`).send({}).expect(200);
    const { body: ghost } = await app.http
      .post(`${V3}/register`)
      .auth('the-as-token', { type: 'bearer' })
      .send({ type: 'm.login.application_service', username: `irc_${uniqueUsername()}` })
      .expect(200);
    for (const userId of [locked.userId, gone.userId, guest.user_id, ghost.user_id] as string[]) {
      const visitor = new Visitor(app);
      const answer = await attempt(visitor, userId, PASSWORD);
      expect(answer.status).toBe(401);
      expect(textOf(answer)).toBe(textOf(wrong));
      expect(await isIn(visitor)).toBe(false);
      expect(await browsersOf(userId)).toEqual([]);
    }
  });

  it('refuses users of bridges and guests even with a way to sign in that needs no password', async () => {
    const { body: guest } = await app.http.post(`${V3}/register?kind=guest`).send({}).expect(200);
    const visitor = new Visitor(app);
    const page = await visitor.get('/account/login');
    const [badge] = /[^@:]+/.exec(guest.user_id as string)!;
    const answer = await visitor.submit(page, { badge }, { nth: 1 });
    expect(answer.status).toBe(401);
    expect(await isIn(visitor)).toBe(false);
  });

  it.each([
    '//evil.example',
    '/\\evil.example',
    '\\\\evil.example',
    'https://evil.example/',
    'javascript:alert(1)',
    '/%2F/evil.example',
    '/account//evil.example',
    '/account/../evil',
    '/account%2Flink',
    '/account\\evil',
    '/account?x=\\evil',
    '/account/logout',
    '/account/login?continue=/account',
    '/oauth2/token',
    '/oauth2/auth#x',
    '/account/link\n//evil.example',
    '/account?a=b\r\nSet-Cookie: x=y',
    ' /account/link',
    '@evil.example',
    '',
  ])('goes on to the account instead of %j', async (next) => {
    const { userId } = await app.matrix.register();
    const visitor = new Visitor(app);
    const page = await visitor.get(`/account/login?continue=${encodeURIComponent(next)}`);
    expect(valueOf(page, 'continue')).toBe('/account');
    const answer = await visitor.submit(page, { username: userId, password: PASSWORD, continue: next });
    expect(answer).toMatchObject({ status: 303, headers: { location: '/account' } });
  });

  it.each([
    '/account?action=org.matrix.devices_list',
    '/account/link',
    '/account/link?user_code=BBBB-BBBB',
    '/oauth2/auth?client_id=x&state=%22%3C',
  ])('goes on to %s', async (next) => {
    const { userId } = await app.matrix.register();
    const answer = await attempt(new Visitor(app), userId, PASSWORD, next);
    expect(answer).toMatchObject({ status: 303, headers: { location: next } });
  });

  it('keeps where to go on through a refusal', async () => {
    const { userId } = await app.matrix.register();
    const visitor = new Visitor(app);
    const refused = await attempt(visitor, userId, 'wrong', '/account/link?user_code=BBBB-BBBB');
    const answer = await visitor.submit(refused, { username: userId, password: PASSWORD });
    expect(answer.headers['location']).toBe('/account/link?user_code=BBBB-BBBB');
  });

  it('leads from every page to the sign-in page, and back to that page', async () => {
    for (const path of ['/account?action=password', '/account/link?user_code=BBBB-BBBB']) {
      const answer = await new Visitor(app).get(path);
      expect(answer).toMatchObject({
        status: 303,
        headers: { location: `/account/login?continue=${encodeURIComponent(path)}` },
      });
    }
  });

  it('shows the name of the app that asks, and fills in the name that the app knows', async () => {
    const client = await OAuthClient.register(app);
    const path = (login_hint: string) => client.authorizePath(newPkce().challenge, { login_hint });
    const shown = async (hint: string) => {
      const visitor = new Visitor(app);
      return visitor.follow(await visitor.get(path(hint)));
    };
    const page = await shown('mxid:@alice:localhost');
    expect(textOf(page)).toContain('Example App wants you to sign in.');
    expect(valueOf(page, 'username')).toBe('@alice:localhost');
    expect(valueOf(await shown('bob@example.org'), 'username')).toBe('bob@example.org');
    expect(textOf(await new Visitor(app).get('/account/login'))).not.toContain('wants you to sign in');
  });
});

describe('The cookie', () => {
  it('is kept from scripts, other hosts and other sites', async () => {
    const { userId } = await app.matrix.register();
    const visitor = new Visitor(app);
    const page = await visitor.get('/account/login');
    const [visitorCookie] = page.headers['set-cookie'] as unknown as string[];
    expect(visitorCookie).toMatch(/^__Host-visitor=[\w-]{43}; Path=\/; HttpOnly; SameSite=Lax; Secure$/);
    const answer = await visitor.submit(page, { username: userId, password: PASSWORD });
    expect(answer.headers['set-cookie']).toEqual([
      expect.stringMatching(
        /^__Host-session=mxb_[\w-]+; Path=\/; HttpOnly; SameSite=Lax; Secure; Max-Age=43200$/,
      ),
    ]);
  });

  it('is new at each sign-in, and only its digest is stored', async () => {
    const { userId } = await app.matrix.register();
    const visitor = new Visitor(app);
    const cookies = [];
    for (let times = 0; times < 2; times += 1) {
      await attempt(visitor, userId, PASSWORD);
      cookies.push(visitor.cookie('__Host-session')!);
    }
    expect(cookies[0]).not.toBe(cookies[1]);
    const stored = (await browsersOf(userId)).map(({ session_digest }) => session_digest.toString('hex'));
    const last = createHash('sha256').update(cookies[1]!).digest('hex');
    expect(stored).toContain(last);
    const rows = JSON.stringify(await app.sql('SELECT * FROM browser_sessions WHERE user_id = $1', [userId]));
    for (const cookie of cookies) expect(rows).not.toContain(cookie);
  });

  it('that a browser had before ends when it signs in again', async () => {
    const { userId } = await app.matrix.register();
    const visitor = await signedIn(userId);
    const old = new Visitor(app);
    old.setCookie('__Host-session', visitor.cookie('__Host-session')!);
    await attempt(visitor, userId, PASSWORD);
    expect(await isIn(visitor)).toBe(true);
    expect(await isIn(old)).toBe(false);
  });

  it('cannot be chosen by somebody else', async () => {
    const { userId } = await app.matrix.register();
    const visitor = new Visitor(app);
    visitor.setCookie('__Host-session', 'mxb_chosen_by_somebody');
    visitor.setCookie('__Host-visitor', 'chosen');
    await attempt(visitor, userId, PASSWORD);
    expect(visitor.cookie('__Host-session')).not.toBe('mxb_chosen_by_somebody');
    expect(await isIn(visitor)).toBe(true);
  });

  it.each(['', 'x', 'mxb_', 'mxa_', '../..', 'mxb_%00_x', 'a'.repeat(5_000)])(
    'signs nobody in with the value %j',
    async (value) => {
      const visitor = new Visitor(app);
      visitor.setCookie('__Host-session', value);
      expect((await visitor.get('/account')).status).toBe(303);
    },
  );

  it('signs nobody in with a token of a client or with the cookie of another user', async () => {
    const [alice, bob] = [await app.matrix.register(), await app.matrix.register()];
    const visitor = await signedIn(alice.userId);
    const cookie = visitor.cookie('__Host-session')!;
    const other = new Visitor(app);
    other.setCookie('__Host-session', alice.accessToken);
    expect(await isIn(other)).toBe(false);
    const bobs = (await signedIn(bob.userId)).cookie('__Host-session')!;
    const mixed = cookie.split('_');
    mixed[1] = bobs.split('_')[1]!;
    other.setCookie('__Host-session', mixed.join('_'));
    expect(await isIn(other)).toBe(false);
    // And the cookie is no token.
    await app.http.get(`${V3}/account/whoami`).auth(cookie, { type: 'bearer' }).expect(401);
  });

  it('expires after 12 hours, however often it is used', async () => {
    const { userId } = await app.matrix.register();
    const visitor = await signedIn(userId);
    app.clock.advance(11 * 60 * 60_000);
    expect(await isIn(visitor)).toBe(true);
    app.clock.advance(61 * 60_000);
    expect(await isIn(visitor)).toBe(false);
  });
});

describe('Signing out of the pages', () => {
  it('ends the session on the server, and deletes the cookie', async () => {
    const { userId } = await app.matrix.register();
    const visitor = await signedIn(userId);
    const thief = new Visitor(app);
    thief.setCookie('__Host-session', visitor.cookie('__Host-session')!);
    const answer = await visitor.submit(await visitor.get('/account'), {}, { action: '/account/logout' });
    expect(textOf(answer)).toContain('You are signed out');
    expect(answer.headers['set-cookie']).toEqual([
      '__Host-session=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0',
    ]);
    expect(await isIn(thief)).toBe(false);
    expect(await browsersOf(userId)).toEqual([]);
    expect((await actionsOf(userId)).at(-1)).toBe('browser_logout');
  });

  it('leaves the sessions of clients and other browsers alone', async () => {
    const alice = await app.matrix.register();
    const [visitor, other] = [await signedIn(alice.userId), await signedIn(alice.userId)];
    await visitor.submit(await visitor.get('/account'), {}, { action: '/account/logout' });
    expect((await app.matrix.whoami(alice)).status).toBe(200);
    expect(await isIn(other)).toBe(true);
  });

  it('is undone by going back to the question of an app, for another account', async () => {
    const [alice, bob] = [await app.matrix.register(), await app.matrix.register()];
    const client = await OAuthClient.register(app);
    const path = client.authorizePath(newPkce().challenge);
    const visitor = new Visitor(app);
    const question = await visitor.signIn(alice.userId, PASSWORD, path);
    const form = await visitor.follow(await visitor.submit(question, {}, { action: '/account/logout' }));
    const again = await visitor.follow(
      await visitor.submit(form, { username: bob.userId, password: PASSWORD }),
    );
    expect(textOf(again)).toContain(bob.userId);
    expect(formsOf(again.text)[0]!.action).toBe('/oauth2/auth');
  });

  it('goes nowhere else', async () => {
    const { userId } = await app.matrix.register();
    const visitor = await signedIn(userId);
    const answer = await visitor.submit(
      await visitor.get('/account'),
      { continue: 'https://evil.example/' },
      { action: '/account/logout' },
    );
    expect(answer.headers['location']).toBe('/account/login?continue=%2Faccount');
  });
});

describe('Browsers are signed out', () => {
  it.each<[string, (session: ClientSession) => Promise<unknown>]>([
    ['by logout/all', (session) => app.matrix.logoutAll(session).expect(200).then(Boolean)],
    [
      'by a new password',
      (session) =>
        app.matrix
          .call(session, 'post', '/account/password')
          .send({ new_password: NEW_PASSWORD, auth: passwordOf(session) })
          .expect(200)
          .then(Boolean),
    ],
    [
      'by a new password that leaves the devices',
      (session) =>
        app.matrix
          .call(session, 'post', '/account/password')
          .send({ new_password: NEW_PASSWORD, logout_devices: false, auth: passwordOf(session) })
          .expect(200)
          .then(Boolean),
    ],
    [
      'by deactivation',
      (session) =>
        app.matrix
          .call(session, 'post', '/account/deactivate')
          .send({ auth: passwordOf(session) })
          .expect(200)
          .then(Boolean),
    ],
    [
      'by an administrator who ends all sessions',
      ({ userId }) =>
        app.http
          .post(`/_session/v1/admin/users/${userId}/logout`)
          .auth(admin.accessToken, { type: 'bearer' })
          .expect(200)
          .then(Boolean),
    ],
  ])('%s', async (_, end) => {
    const [alice, bob] = [await app.matrix.register(), await app.matrix.register()];
    const [one, other, bobs] = [
      await signedIn(alice.userId),
      await signedIn(alice.userId),
      await signedIn(bob.userId),
    ];
    await end(alice);
    expect([await isIn(one), await isIn(other), await isIn(bobs)]).toEqual([false, false, true]);
    expect(await browsersOf(alice.userId)).toEqual([]);
  });

  it('while their user is locked', async () => {
    const { userId } = await app.matrix.register();
    const visitor = await signedIn(userId);
    const lock = (locked: boolean) =>
      app.http
        .put(`/_matrix/client/v1/admin/lock/${userId}`)
        .auth(admin.accessToken, { type: 'bearer' })
        .send({ locked })
        .expect(200);
    await lock(true);
    expect(await isIn(visitor)).toBe(false);
    await lock(false);
    expect(await isIn(visitor)).toBe(true);
  });

  it('not by the end of one session of a client', async () => {
    const alice = await app.matrix.register();
    const visitor = await signedIn(alice.userId);
    await app.matrix.logout(alice).expect(200);
    expect(await isIn(visitor)).toBe(true);
  });
});

describe("A team's own way to sign in", () => {
  const badgeForm = async (visitor: Visitor, badge: string) =>
    visitor.submit(await visitor.get('/account/login?continue=/account/link'), { badge }, { nth: 1 });

  it('is shown with its form and signs in; one without a form is not shown', async () => {
    const visitor = new Visitor(app);
    const page = await visitor.get('/account/login');
    expect(textOf(page)).toContain('Other ways to sign in Number of your <badge>');
    expect(textOf(page)).toContain('Sign in with your badge');
    expect(formsOf(page.text)).toHaveLength(2);
    const name = uniqueUsername();
    const answer = await badgeForm(visitor, name);
    expect(answer).toMatchObject({ status: 303, headers: { location: '/account/link' } });
    expect(textOf(await visitor.get('/account'))).toContain(`Signed in as @${name}:localhost`);
  });

  it('says what went wrong, without the text for passwords', async () => {
    const visitor = new Visitor(app);
    const words = {
      forged: 'This badge is forged',
      '': 'Missing parameter: badge',
      'no such name': 'is not a user ID',
    };
    for (const [badge, said] of Object.entries(words)) {
      const answer = await badgeForm(visitor, badge);
      expect(answer.status).toBe(401);
      expect(textOf(answer)).toContain(said);
      expect(textOf(answer)).not.toContain(WRONG);
    }
    expect(await isIn(visitor)).toBe(false);
  });

  it.each(['org.example.silent', 'm.login.token', 'm.login.application_service', 'unknown'])(
    'cannot be called by the form if it has none: %s',
    async (type) => {
      const visitor = new Visitor(app);
      const page = await visitor.get('/account/login');
      const answer = await visitor.submit(page, { type, username: 'x', password: 'x' });
      expect(answer.status).toBe(401);
      expect(await isIn(visitor)).toBe(false);
    },
  );
});

describe('A service without passwords', () => {
  const other = useApp({
    without: ['password-login'],
    extensions: [BadgeModule],
    variables: OAUTH_VARIABLES,
  });

  it('shows no field for one, and takes none', async () => {
    const visitor = new Visitor(other());
    const page = await visitor.get('/account/login');
    expect(page.text).not.toContain('type="password"');
    expect(formsOf(page.text).map(({ hidden }) => hidden['type'])).toEqual(['org.example.badge']);
    const name = uniqueUsername();
    await other().matrix.register({ username: name });
    const answer = await visitor.submit(page, {
      type: 'm.login.password',
      username: name,
      password: PASSWORD,
    });
    expect(answer.status).toBe(401);
    const signedInWithBadge = await visitor.submit(page, { badge: name });
    expect(signedInWithBadge.status).toBe(303);
  });
});

describe('A service that is reached over http', () => {
  const other = useApp({ variables: { PUBLIC_BASE_URL: 'http://localhost:8008' } });

  it('sets cookies without the prefix and the flag that need https', async () => {
    const { userId } = await other().matrix.register();
    const visitor = new Visitor(other());
    const answer = await visitor.submit(await visitor.get('/account/login'), {
      username: userId,
      password: PASSWORD,
    });
    expect(answer.headers['set-cookie']).toEqual([
      expect.stringMatching(/^session=mxb_[\w-]+; Path=\/; HttpOnly; SameSite=Lax; Max-Age=43200$/),
    ]);
    expect(visitor.cookie('visitor')).toMatch(/^[\w-]{43}$/);
    expect((await visitor.get('/account')).status).toBe(200);
  });
});

describe('The limits of failed sign-ins', () => {
  const limited = useApp({
    extensions: [BadgeModule],
    variables: {
      ...OAUTH_VARIABLES,
      RATE_LIMITS: 'on',
      TRUST_PROXY: '1',
      RATE_LIMIT_LOGIN_FAILED_ACCOUNT: '3/1h',
      RATE_LIMIT_LOGIN_FAILED_ADDRESS: '5/1h',
    },
  });
  let addresses = 0;
  const from = (address = `10.1.0.${(addresses += 1)}`) =>
    new Visitor(limited(), { 'X-Forwarded-For': address });

  it('count for an account at all addresses, together with those of the login API', async () => {
    const { userId } = await limited().matrix.register();
    const send = async (password: string) => attempt(from(), userId, password);
    expect((await send('wrong')).status).toBe(401);
    expect((await send('wrong')).status).toBe(401);
    await limited()
      .http.post(`${V3}/login`)
      .set('X-Forwarded-For', '10.1.1.1')
      .send({ type: 'm.login.password', identifier: { type: 'm.id.user', user: userId }, password: 'wrong' })
      .expect(403);
    const refused = await send(PASSWORD);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(refused.headers['content-type']).toMatch(/^text\/html/);
    expect(textOf(refused)).toContain('Too many attempts');
    expect(refused.headers['set-cookie']).toBeUndefined();
  });

  it('count for an address with all names, and with all ways to sign in', async () => {
    const visitor = from();
    for (let times = 0; times < 4; times += 1) {
      expect((await attempt(visitor, `nobody${times}`, 'wrong')).status).toBe(401);
    }
    const page = await visitor.get('/account/login');
    expect((await visitor.submit(page, { badge: 'forged' }, { nth: 1 })).status).toBe(401);
    expect((await visitor.submit(page, { badge: uniqueUsername() }, { nth: 1 })).status).toBe(429);
    expect((await attempt(from(), 'nobody-else', 'wrong')).status).toBe(401);
  });

  it('are not used up by those who sign in', async () => {
    const { userId } = await limited().matrix.register();
    const visitor = from();
    for (let times = 0; times < 7; times += 1)
      expect((await attempt(visitor, userId, PASSWORD)).status).toBe(303);
  });
});

describe('Single sign-on', () => {
  const type = 'org.example.company';
  const back = (parameters: Record<string, string>) =>
    `/account/login/return?${new URLSearchParams(parameters).toString()}`;
  /** What the other place gets. */
  async function sentAway(visitor: Visitor, next = '/account/link'): Promise<URLSearchParams> {
    const page = await visitor.get(`/account/login?continue=${encodeURIComponent(next)}`);
    const [, url = ''] = /href="(https:\/\/id[^"]*)">Sign in with &lt;Company&gt;/.exec(page.text) ?? [];
    return new URL(unescaped(url)).searchParams;
  }

  it('signs in who comes back, once for each proof, and goes on', async () => {
    const visitor = new Visitor(app);
    const { state, ...sent } = Object.fromEntries(await sentAway(visitor)) as { state: string };
    expect(sent).toEqual({ app: 'matrix', continue: '/account/link' });
    const given = { type, state, continue: '/account/link', code: uniqueUsername() };
    const answer = await visitor.get(back(given));
    expect([answer.status, answer.headers['location']]).toEqual([303, '/account/link']);
    expect((await visitor.get('/account')).text).toContain(`@${given.code}:localhost`);
    const other = new Visitor(app);
    const { state: another } = Object.fromEntries(await sentAway(other)) as { state: string };
    expect((await other.get(back({ ...given, state: another }))).status).toBe(401);
  });

  it('refuses a link that was made for another browser, and flows that have no such place', async () => {
    const visitor = new Visitor(app);
    const state = (await sentAway(new Visitor(app))).get('state')!;
    const own = (await sentAway(visitor)).get('state')!;
    const code = uniqueUsername();
    const goOn = { continue: '/account/link' };
    const wrongs: Record<string, string>[] = [
      { type, state, code, ...goOn },
      { type, code, ...goOn },
      { type, state: '', code, ...goOn },
      { type, state: own, code, continue: '/account' },
      { type, state: own.replace(/^\d/, (digit) => String((Number(digit) + 1) % 10)), code, ...goOn },
    ];
    for (const wrong of wrongs) expect((await visitor.get(back(wrong))).status).toBe(403);
    for (const other of ['org.example.badge', 'org.example.silent', 'm.login.password', 'nothing'])
      expect((await visitor.get(back({ type: other, state: own, code, badge: code, ...goOn }))).status).toBe(
        401,
      );
    expect((await visitor.get('/account')).status).toBe(303);
    const forged = await visitor.post('/account/login', { csrf: own, username: 'x', password: 'y' });
    expect(forged.status).toBe(403);
    app.clock.advance(61 * 60_000);
    expect((await visitor.get(back({ type, state: own, code, ...goOn }))).status).toBe(403);
  });
});
