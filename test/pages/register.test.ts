import { describe, expect, it } from 'vitest';
import { type Flow, type GuardedCall, UiaFlows } from '../../src/index.js';
import { PASSWORD, uniqueUsername, V3 } from '../../src/testing/index.js';
import { newPkce, OAUTH_VARIABLES, OAuthClient } from '../support/oauth.js';
import { type TestApp, useApp } from '../support/test-app.js';
import { formsOf, textOf, valueOf, Visitor } from '../support/visitor.js';
import { auditOf, browsersOf, isIn, signedIn, thiefOf } from './people.js';

const METADATA = '/_matrix/client/v1/auth_metadata';

const app = useApp({
  variables: { ...OAUTH_VARIABLES, SERVER_ADMINS: '@boss:localhost' },
});

/** Fills in the form of the page. */
async function register(
  visitor: Visitor,
  fields: Record<string, string>,
  next = '/account',
): Promise<Awaited<ReturnType<Visitor['get']>>> {
  const page = await visitor.get(`/account/register?continue=${encodeURIComponent(next)}`);
  return visitor.submit(page, fields, { action: '/account/register' });
}

async function exists(on: TestApp, username: string): Promise<boolean> {
  const [row] = await on.sql('SELECT FROM accounts WHERE user_id = $1', [`@${username}:localhost`]);
  return row !== undefined;
}

/** The error at a field, as screen readers find it. */
function errorAt(page: { readonly text: string }, name: string): string | null {
  const [, text = null] =
    new RegExp(`<p class="error" id="field-${name}-error" role="alert">([^<]*)</p>`).exec(page.text) ?? [];
  if (text !== null) expect(page.text).toMatch(new RegExp(`aria-describedby="[^"]*field-${name}-error`));
  return text;
}

describe('The page for a new account', () => {
  it('creates the account, signs the browser in, and goes on', async () => {
    const username = uniqueUsername();
    const visitor = new Visitor(app());
    const answer = await register(visitor, { username: username.toUpperCase(), password: PASSWORD });
    expect(answer).toMatchObject({ status: 303, headers: { location: '/account' } });
    expect(answer.headers['set-cookie']).toEqual([
      expect.stringMatching(/^__Host-session=mxb_.*; HttpOnly; SameSite=Lax; Secure; Max-Age=43200$/),
    ]);
    expect(textOf(await visitor.follow(answer))).toContain(`Signed in as @${username}:localhost`);
    const userId = `@${username}:localhost`;
    expect((await auditOf(app(), userId)).map(({ action }) => action)).toEqual([
      'account_registered',
      'browser_login',
    ]);
    // No session of a client began with it.
    expect(await app().sql('SELECT FROM devices WHERE user_id = $1', [userId])).toEqual([]);
    expect((await app().matrix.login(username)).userId).toBe(userId);
  });

  it('is announced to clients, and linked from the sign-in page, with where to go on', async () => {
    const { body } = await app().http.get(METADATA).expect(200);
    expect(body.prompt_values_supported).toEqual(['create']);
    const page = await new Visitor(app()).get('/account/login?continue=%2Faccount%2Flink');
    expect(page.text).toContain('href="/account/register?continue=%2Faccount%2Flink"');
    const other = await new Visitor(app()).get('/account/register?continue=%2Faccount%2Flink');
    expect(other.text).toContain('href="/account/login?continue=%2Faccount%2Flink"');
  });

  it('goes on to pages of the service only', async () => {
    for (const next of ['//evil.example', 'https://evil.example', '/\\evil.example']) {
      const visitor = new Visitor(app());
      const page = await visitor.get(`/account/register?continue=${encodeURIComponent(next)}`);
      const fields = { username: uniqueUsername(), password: PASSWORD, continue: next };
      const answer = await visitor.submit(page, fields);
      expect(answer).toMatchObject({ status: 303, headers: { location: '/account' } });
    }
  });

  it.each([
    ['a name that is taken', async () => (await app().matrix.register()).userId, 'This user name is taken.'],
    ['a name with strange characters', async () => 'näme with blanks', 'A user name may have'],
    ['a name of digits only', async () => '12345', 'A user name may have'],
    ['the name of an administrator', async () => 'boss', 'This user name is reserved.'],
  ])('says at the name what is wrong with %s', async (_, name, text) => {
    const username = (await name()).replace(/^@(.*):localhost$/, '$1');
    const visitor = new Visitor(app());
    const answer = await register(visitor, { username, password: 'a secret "phrase" of mine' });
    expect(answer.status).toBe(400);
    expect(errorAt(answer, 'username')).toContain(text);
    expect(errorAt(answer, 'password')).toBeNull();
    expect(valueOf(answer, 'username')).toBe(username);
    expect(answer.text).not.toContain('a secret');
    expect(await isIn(visitor)).toBe(false);
  });

  it.each([
    ['short', 'A password needs 8 characters or more'],
    ['password1', 'This password is too easy to guess'],
  ])('says at the password that %s is too weak', async (password, text) => {
    const username = uniqueUsername();
    const answer = await register(new Visitor(app()), { username, password });
    expect(answer.status).toBe(400);
    expect(errorAt(answer, 'password')).toBe(text);
    expect(errorAt(answer, 'username')).toBeNull();
    expect(valueOf(answer, 'password')).toBe('');
    expect(await exists(app(), username)).toBe(false);
  });

  it('says at the field that it is missing', async () => {
    const noName = await register(new Visitor(app()), { username: '', password: PASSWORD });
    expect([noName.status, errorAt(noName, 'username')]).toEqual([400, 'Fill in both fields.']);
    const noPassword = await register(new Visitor(app()), { username: uniqueUsername(), password: '' });
    expect([noPassword.status, errorAt(noPassword, 'password')]).toEqual([400, 'Fill in both fields.']);
  });

  it('signs the browser out of the account that it had before', async () => {
    const { userId } = await app().matrix.register();
    const visitor = await signedIn(app(), userId);
    const before = thiefOf(app(), visitor);
    expect((await register(visitor, { username: uniqueUsername(), password: PASSWORD })).status).toBe(303);
    expect([await isIn(visitor), await isIn(before)]).toEqual([true, false]);
  });

  it('creates one account when the form is sent twice at once', async () => {
    const username = uniqueUsername();
    const visitor = new Visitor(app());
    const page = await visitor.get('/account/register');
    const answers = await Promise.all(
      [1, 2].map(() => visitor.submit(page, { username, password: PASSWORD })),
    );
    expect(answers.map(({ status }) => status).toSorted()).toEqual([303, 400]);
    expect(await browsersOf(app(), `@${username}:localhost`)).toBe(1);
  });
});

describe('Advice on a password', () => {
  const advise = async (visitor: Visitor, fields: Record<string, string>, path = '/account/register') => {
    const page = await visitor.get(path);
    const { csrf } = formsOf(page.text)[0]!.hidden as { csrf: string };
    return visitor.post('/account/register/advice', { csrf, ...fields });
  };

  it('says what is weak and what is strong, in the language of the browser', async () => {
    const strong = await advise(new Visitor(app()), { password: PASSWORD });
    expect([strong.status, strong.body]).toEqual([200, { advice: 'Good password.' }]);
    expect(strong.headers['cache-control']).toBe('no-store');
    const weak = await advise(new Visitor(app()), { password: 'password1' });
    expect([weak.status, weak.body]).toEqual([200, { advice: 'This password is too easy to guess' }]);
    const german = await advise(new Visitor(app(), { 'Accept-Language': 'de' }), { password: PASSWORD });
    expect(german.body).toEqual({ advice: 'Gutes Passwort.' });
  });

  it('knows the name that is typed, and the user who is signed in', async () => {
    const name = 'zaphodbeeblebroxofbetelgeuse';
    const password = name;
    const weak = { advice: 'This password is too easy to guess' };
    expect((await advise(new Visitor(app()), { password, username: name })).body).toEqual(weak);
    const { userId } = await app().matrix.register({ username: name });
    const visitor = await signedIn(app(), userId);
    const answer = await advise(visitor, { password }, '/account?action=password');
    expect(answer.body).toEqual(weak);
  });

  it('is given to pages of the service only', async () => {
    const visitor = new Visitor(app());
    const none = await visitor.post('/account/register/advice', { password: PASSWORD });
    expect(none.status).toBe(403);
    const wrong = await advise(visitor, { csrf: 'x'.repeat(43), password: PASSWORD });
    expect(wrong.status).toBe(403);
    const other = await advise(new Visitor(app()), { password: PASSWORD });
    expect(other.headers['access-control-allow-origin']).toBeUndefined();
  });
});

describe('A registration that an app asks for', () => {
  it('begins with the page for a new account, and ends with the question whether the app may', async () => {
    const client = await OAuthClient.register(app());
    const { challenge, verifier } = newPkce();
    const visitor = new Visitor(app());
    const path = client.authorizePath(challenge, { prompt: 'create' });
    const page = await visitor.follow(await visitor.get(path));
    expect(page.text).toContain('<h1>Create an account</h1>');
    const username = uniqueUsername();
    const answer = await visitor.submit(page, { username, password: PASSWORD });
    expect(answer.headers['location']).toBe(path);
    const question = await visitor.follow(answer);
    expect(textOf(question)).toContain('Let Example App in?');
    expect(textOf(question)).toContain(`@${username}:localhost`);
    const callback = await visitor.submit(question, { decision: 'allow' }, { action: '/oauth2/auth' });
    const code = new URL(callback.headers['location']!).searchParams.get('code')!;
    const { body: tokens } = await client.exchange(code, verifier).expect(200);
    const { body } = await app()
      .http.get(`${V3}/account/whoami`)
      .auth(tokens.access_token as string, { type: 'bearer' });
    expect(body.user_id).toBe(`@${username}:localhost`);
  });

  it('keeps where to go on through a refusal', async () => {
    const client = await OAuthClient.register(app());
    const path = client.authorizePath(newPkce().challenge, { prompt: 'create' });
    const visitor = new Visitor(app());
    const page = await visitor.follow(await visitor.get(path));
    const refused = await visitor.submit(page, { username: '12345', password: PASSWORD });
    const answer = await visitor.submit(refused, { username: uniqueUsername(), password: PASSWORD });
    expect(answer.headers['location']).toBe(path);
  });

  it('is only the question for somebody who is signed in', async () => {
    const { userId } = await app().matrix.register();
    const visitor = await signedIn(app(), userId);
    const client = await OAuthClient.register(app());
    const page = await visitor.get(client.authorizePath(newPkce().challenge, { prompt: 'create' }));
    expect(page.status).toBe(200);
    expect(textOf(page)).toContain('Let Example App in?');
  });
});

describe('Registration with a token', () => {
  const byToken = useApp({
    variables: { ...OAUTH_VARIABLES, REGISTRATION: 'token', REGISTRATION_TOKENS: 'let-me-in,and-me' },
  });

  it('needs a valid one, and says so at its field', async () => {
    const username = uniqueUsername();
    for (const token of ['', 'wrong', 'let-me-in,and-me', 'LET-ME-IN']) {
      const visitor = new Visitor(byToken());
      const answer = await register(visitor, { username, password: PASSWORD, token });
      expect(answer.status).toBe(400);
      expect(errorAt(answer, 'token')).toBe('This registration token is not valid.');
      expect(await isIn(visitor)).toBe(false);
    }
    expect(await exists(byToken(), username)).toBe(false);
    const answer = await register(new Visitor(byToken()), { username, password: PASSWORD, token: 'and-me' });
    expect(answer.status).toBe(303);
    expect(await exists(byToken(), username)).toBe(true);
  });

  it('shows the field for it, and open registration does not', async () => {
    const page = await new Visitor(byToken()).get('/account/register');
    expect(valueOf(page, 'token')).toBe('');
    expect(valueOf(await new Visitor(app()).get('/account/register'), 'token')).toBeNull();
  });
});

describe('Without registration', () => {
  const closed = useApp({ variables: { ...OAUTH_VARIABLES, REGISTRATION: 'closed' } });

  /** A team that wants a code besides. */
  class CodeToRegister extends UiaFlows {
    flowsOf({ name }: GuardedCall, own: readonly Flow[]): readonly Flow[] {
      return name === 'POST /register' ? own.map((flow) => [...flow, 'org.example.code']) : own;
    }
  }
  const proven = useApp({ variables: OAUTH_VARIABLES, uiaFlows: new CodeToRegister() });
  const left = useApp({ variables: OAUTH_VARIABLES, without: ['register'] });

  it.each([
    ['it is closed', closed],
    ['a team asks for more than a page can', proven],
    ['it is left out', left],
  ])('there is no page while %s', async (_, on) => {
    const { body } = await on().http.get(METADATA).expect(200);
    expect(body.prompt_values_supported).toBeUndefined();
    const page = await new Visitor(on()).get('/account/login');
    expect(page.text).not.toContain('/account/register');
    const refused = await new Visitor(on()).get('/account/register');
    expect([refused.status, textOf(refused).includes('Registration is closed')]).toEqual([403, true]);
    const visitor = new Visitor(on());
    const { csrf } = formsOf((await visitor.get('/account/login')).text)[0]!.hidden as { csrf: string };
    const username = uniqueUsername();
    const answer = await visitor.post('/account/register', { csrf, username, password: PASSWORD });
    expect(answer.status).toBe(403);
    expect(await exists(on(), username)).toBe(false);
    expect(await isIn(visitor)).toBe(false);
  });

  it('an app that asks for a new account gets the sign-in page', async () => {
    const client = await OAuthClient.register(closed());
    const visitor = new Visitor(closed());
    const path = client.authorizePath(newPkce().challenge, { prompt: 'create' });
    const answer = await visitor.get(path);
    expect(answer.headers['location']).toBe(`/account/login?continue=${encodeURIComponent(path)}`);
  });
});

describe('The limits of the page for a new account', () => {
  const limited = useApp({
    variables: {
      ...OAUTH_VARIABLES,
      RATE_LIMITS: 'on',
      TRUST_PROXY: '1',
      RATE_LIMIT_REGISTRATION: '2/1h',
      RATE_LIMIT_AVAILABLE: '2/1h',
    },
  });
  const from = (address: string) => new Visitor(limited(), { 'X-Forwarded-For': address });

  it('count registrations, together with those of the API', async () => {
    const visitor = from('10.2.0.1');
    const answers = [];
    for (let times = 0; times < 3; times += 1)
      answers.push(await register(visitor, { username: uniqueUsername(), password: PASSWORD }));
    expect(answers.map(({ status }) => status)).toEqual([303, 303, 429]);
    expect(Number(answers[2]!.headers['retry-after'])).toBeGreaterThan(0);
    const api = await limited()
      .http.post(`${V3}/register`)
      .set('X-Forwarded-For', '10.2.0.1')
      .send({ username: uniqueUsername(), password: PASSWORD, auth: { type: 'm.login.dummy' } });
    expect(api.status).toBe(429);
  });

  it('do not let an address try any number of names', async () => {
    const { userId } = await limited().matrix.register();
    const username = userId.slice(1, userId.indexOf(':'));
    const visitor = from('10.2.0.2');
    const statuses: number[] = [];
    for (let times = 0; times < 100 && !statuses.includes(429); times += 1)
      statuses.push((await register(visitor, { username, password: PASSWORD })).status);
    expect(statuses).toContain(429);
  });

  it('count advice', async () => {
    const visitor = from('10.2.0.3');
    const { csrf } = formsOf((await visitor.get('/account/register')).text)[0]!.hidden as { csrf: string };
    const statuses = [];
    for (let times = 0; times < 3; times += 1)
      statuses.push((await visitor.post('/account/register/advice', { csrf, password: PASSWORD })).status);
    expect(statuses).toEqual([200, 200, 429]);
  });
});
