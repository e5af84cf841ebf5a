import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Injectable, Module, type OnModuleInit } from '@nestjs/common';
import type request from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EnvironmentError } from '../../src/config/environment.js';
import {
  AccountDeactivated,
  type Html,
  html,
  InTransaction,
  LoginFlow,
  LoginFlows,
  PageTemplates,
  type PageContext,
  PasswordVerifier,
  type SignInView,
} from '../../src/index.js';
import { type ClientSession, PASSWORD, someKeys, uniqueUsername, V3 } from '../../src/testing/index.js';
import { newDeviceId, newPkce, OAUTH_VARIABLES, OAuthClient, scopeOf } from '../support/oauth.js';
import { census, NOTHING, TestApp, useApp } from '../support/test-app.js';
import { type Fields, formsOf, textOf, unescaped, valueOf, Visitor } from '../support/visitor.js';
import { parse, skeletonOf, valuesOf } from './parse.js';
import { auditOf, browsersOf, isIn, signedIn } from './people.js';

const NEW_PASSWORD = 'another quite long phrase';
const FIVE_MINUTES = 5 * 60_000;

/** Users whose password is kept elsewhere; it is "elsewhere". */
const elsewhere = new Set<string>();

class Directory extends PasswordVerifier {
  async keeps(userId: string): Promise<boolean> {
    return elsewhere.has(userId);
  }

  async verify(_: string, password: string): Promise<boolean> {
    return password === 'elsewhere';
  }
}

/** Signs in people who have no password. */
@Injectable()
class BadgeLogin extends LoginFlow implements OnModuleInit {
  readonly type = 'org.example.badge';
  override readonly form = {
    title: 'Sign in with your badge',
    fields: [{ name: 'badge', label: 'Badge', type: 'text' as const }],
  };

  constructor(private readonly flows: LoginFlows) {
    super();
  }

  onModuleInit(): void {
    this.flows.add(this);
  }

  async prove({ badge }: Readonly<Record<string, unknown>>): Promise<string> {
    return `@${badge as string}:localhost`;
  }
}

const deactivated: AccountDeactivated[] = [];

@Injectable()
class Deactivations {
  @InTransaction(AccountDeactivated)
  async onDeactivated(event: AccountDeactivated): Promise<void> {
    deactivated.push(event);
  }
}

@Module({ providers: [BadgeLogin, Deactivations] })
class TeamModule {}

const app = useApp({
  extensions: [TeamModule],
  passwordVerifier: new Directory(),
  variables: { ...OAUTH_VARIABLES, TRUST_PROXY: '1' },
});

const somebody = async (headers: Record<string, string> = {}) => {
  const session = await app().matrix.register();
  return { session, visitor: await signedIn(app(), session.userId, headers) };
};

async function badgeHolder(): Promise<{ userId: string; visitor: Visitor }> {
  const badge = uniqueUsername();
  const visitor = new Visitor(app());
  await visitor.submit(await visitor.get('/account/login'), { badge }, { nth: 1 });
  expect(await isIn(visitor)).toBe(true);
  return { userId: `@${badge}:localhost`, visitor };
}

/** Begins an OAuth session on a new device, with keys. */
async function begin(visitor: Visitor, userId: string): Promise<ClientSession> {
  const deviceId = newDeviceId();
  const tokens = await (await OAuthClient.register(app())).begin(visitor, deviceId);
  const session = { userId, deviceId, accessToken: tokens.access_token };
  await app().matrix.uploadKeys(session, someKeys(session)).expect(200);
  return session;
}

const query = (parameters: [string, string][]) => `/account?${new URLSearchParams(parameters).toString()}`;
const viewOf = (deviceId: string, action = 'org.matrix.device_view') =>
  query([
    ['action', action],
    ['device_id', deviceId],
  ]);
const endOf = (mode: string, ...deviceIds: string[]) =>
  query([
    ['action', 'org.matrix.device_delete'],
    ['mode', mode],
    ...deviceIds.map((one): [string, string] => ['device_id', one]),
  ]);

const end = (visitor: Visitor, page: request.Response, fields: Fields = {}) =>
  visitor.submit(page, fields, { action: '/account/end' });
const alive = async (...sessions: ClientSession[]) =>
  Promise.all(sessions.map(async (one) => (await app().matrix.whoami(one)).status === 200));

/** The text of an item in a list of a page that contains something. */
function itemWith(page: request.Response, part: string): string {
  const items = page.text.split('<li>').slice(1);
  const item = items.find((one) => textOf({ text: one.split('</li>')[0]! }).includes(part));
  if (item === undefined) throw new Error(`No item has ${part}`);
  return textOf({ text: item.split('</li>')[0]! });
}

describe('The account page', () => {
  it('shows the sessions of both kinds, with app, name, and when and where they were last seen', async () => {
    const { session, visitor } = await somebody();
    const phone = await app().matrix.login(session.userId, {
      device_id: 'PHONE',
      initial_device_display_name: 'My phone',
    });
    await app()
      .http.get(`${V3}/devices`)
      .auth(phone.accessToken, { type: 'bearer' })
      .set({ 'X-Forwarded-For': '192.0.2.33', 'User-Agent': 'Phone/1.0' })
      .expect(200);
    const web = await begin(visitor, session.userId);
    const page = await visitor.get('/account');
    expect(page.status).toBe(200);
    expect(textOf(page)).toContain(`Signed in as ${session.userId}`);
    expect(itemWith(page, 'My phone')).toMatch(
      /App that signs in with your password · PHONE Last seen: .* 192\.0\.2\.33 Signed in: .* · 127\.0\.0\.1$/,
    );
    expect(itemWith(page, 'Example App Example App')).toMatch(/Last seen: .+/);
    expect(valuesOf(page.text, 'href')).toContain(viewOf(web.deviceId));
    const one = textOf(await visitor.get(viewOf('PHONE')));
    expect(one).toContain('Device ID PHONE');
    expect(one).toContain('Address 192.0.2.33');
    expect(one).toContain('Browser or system Phone/1.0');
    expect(textOf(await visitor.get(viewOf(web.deviceId)))).toContain('App Example App');
  });

  it('shows where a session began', async () => {
    const { session, visitor } = await somebody();
    await app()
      .http.post(`${V3}/login`)
      .set({ 'X-Forwarded-For': '192.0.2.44', 'User-Agent': 'Setup/1.0' })
      .send({
        type: 'm.login.password',
        identifier: { type: 'm.id.user', user: session.userId },
        password: PASSWORD,
        device_id: 'BEGAN',
      })
      .expect(200);
    expect(textOf(await visitor.get(viewOf('BEGAN')))).toMatch(/Signed in .* UTC\W+192\.0\.2\.44/);
  });

  it('shows the session that was seen last first', async () => {
    const { session, visitor } = await somebody();
    const first = await app().matrix.login(session.userId, { device_id: 'AAA-FIRST' });
    app().clock.advance(120_000);
    await app().matrix.login(session.userId, { device_id: 'BBB-SECOND' });
    const order = async () =>
      valuesOf((await visitor.get('/account')).text, 'value').filter((one) => /^(?:AAA|BBB)-/.test(one));
    expect(await order()).toEqual(['BBB-SECOND', 'AAA-FIRST']);
    app().clock.advance(120_000);
    await app().matrix.devices(first);
    expect(await order()).toEqual(['AAA-FIRST', 'BBB-SECOND']);
  });

  it('shows the browsers that are signed in, and marks this one', async () => {
    const { session, visitor } = await somebody({ 'User-Agent': 'Mine/1.0' });
    await signedIn(app(), session.userId, { 'User-Agent': 'Other/2.0', 'X-Forwarded-For': '192.0.2.55' });
    const page = await visitor.get('/account');
    expect(itemWith(page, 'Other/2.0')).toContain('192.0.2.55');
    expect(itemWith(page, 'This browser')).not.toContain('Sign out');
    expect(formsOf(page.text).filter(({ action }) => action === '/account/browser')).toHaveLength(1);
  });

  it('shows what happened lately, with address and browser', async () => {
    const { visitor } = await somebody({ 'User-Agent': 'Mine/1.0', 'X-Forwarded-For': '192.0.2.66' });
    const client = await OAuthClient.register(app());
    const refused = await visitor.get(client.authorizePath(newPkce().challenge));
    await visitor.submit(refused, { decision: 'refuse' });
    const page = await visitor.get('/account');
    expect(itemWith(page, 'App refused')).toMatch(/192\.0\.2\.66 Mine\/1\.0/);
    for (const action of ['Account created', 'Signed in on a device', 'Signed in on these pages'])
      itemWith(page, action);
  });

  it('shows nothing of anybody else', async () => {
    const [alice, bob] = [await somebody({ 'User-Agent': 'Alices/1.0' }), await somebody()];
    const page = await bob.visitor.get('/account');
    for (const secret of [alice.session.userId, alice.session.deviceId, 'Alices/1.0'])
      expect(page.text).not.toContain(secret);
  });

  it.each([
    '',
    '?action=',
    '?action=unknown',
    '?action=org.matrix.devices_list',
    '?action=org.matrix.sessions_list',
    '?action=org.matrix.profile',
  ])('is the overview with %j', async (search) => {
    const { visitor } = await somebody();
    const page = await visitor.get(`/account${search}`);
    expect([page.status, textOf(page).includes('Your sessions')]).toEqual([200, true]);
  });

  it('is the overview for the session of somebody else, as for one that does not exist', async () => {
    const [alice, bob] = [await somebody(), await somebody()];
    const overview = textOf(await bob.visitor.get('/account'));
    for (const deviceId of [alice.session.deviceId, 'NOSUCHDEVICE', ''])
      for (const action of ['device_view', 'session_view', 'device_delete', 'session_end']) {
        const page = await bob.visitor.get(viewOf(deviceId, `org.matrix.${action}`));
        expect([page.status, textOf(page)]).toEqual([200, overview]);
      }
  });

  it('shows a session, and asks whether to end it, by the names of the specification and by older ones', async () => {
    const { session, visitor } = await somebody();
    for (const action of ['device_view', 'session_view']) {
      const page = await visitor.get(viewOf(session.deviceId, `org.matrix.${action}`));
      expect(textOf(page)).toContain(`Device ID ${session.deviceId}`);
      expect(formsOf(page.text)[0]!.action).toBe('/account/rename');
    }
    for (const action of ['device_delete', 'session_end']) {
      const page = await visitor.get(viewOf(session.deviceId, `org.matrix.${action}`));
      expect(textOf(page)).toContain('This device is signed out at once');
      expect(formsOf(page.text)[0]!).toMatchObject({ method: 'post', action: '/account/end' });
    }
    expect(await alive(session)).toEqual([true]);
  });
});

describe('The name of a device', () => {
  const rename = async (visitor: Visitor, deviceId: string, name: string) =>
    visitor.submit(await visitor.get(viewOf(deviceId)), { name }, { action: '/account/rename' });

  it('is changed, and shown as it was typed', async () => {
    const { session, visitor } = await somebody();
    const name = `<b>"Kitchen" & 'hall'</b>`;
    const page = await visitor.follow(await rename(visitor, session.deviceId, name));
    expect(textOf(page)).toContain('The name is saved.');
    expect(parse(page.text).filter((one) => one.kind === 'tag' && one.name === 'b')).toEqual([]);
    expect(valueOf(page, 'name')).toBe(name);
    expect(await app().matrix.devices(session)).toEqual([
      { device_id: session.deviceId, display_name: name },
    ]);
  });

  it('is not changed to one that is too long or empty', async () => {
    const { session, visitor } = await somebody();
    await rename(visitor, session.deviceId, 'Before');
    for (const name of ['x'.repeat(101), '']) {
      const answer = await rename(visitor, session.deviceId, name);
      expect(answer.status).toBe(400);
      expect(answer.headers['content-type']).toMatch(/^text\/html/);
      expect(textOf(answer)).toContain('A name has 1 to 100 characters.');
    }
    expect(await app().matrix.devices(session)).toMatchObject([{ display_name: 'Before' }]);
  });

  it('is not changed for somebody else, and for no device', async () => {
    const [alice, bob] = [await somebody(), await somebody()];
    const form = formsOf((await bob.visitor.get(viewOf(bob.session.deviceId))).text)[0]!;
    for (const device_id of [alice.session.deviceId, 'NOSUCHDEVICE']) {
      const answer = await bob.visitor.post(form.action, { ...form.hidden, device_id, name: 'Stolen' });
      expect([answer.status, textOf(answer).includes('There is no such page')]).toEqual([404, true]);
    }
    expect(await app().matrix.devices(alice.session)).not.toMatchObject([{ display_name: 'Stolen' }]);
  });
});

describe('Ending sessions', () => {
  it('ends one: its tokens, the device and its keys, and no other', async () => {
    const { session, visitor } = await somebody();
    const web = await begin(visitor, session.userId);
    const other = await signedIn(app(), session.userId);
    const answer = await end(visitor, await visitor.get(endOf('selected', web.deviceId)));
    expect(answer).toMatchObject({ status: 303, headers: { location: '/account?done=1' } });
    expect(textOf(await visitor.follow(answer))).toContain('One device is signed out.');
    expect(await census(app(), session.userId, web.deviceId)).toEqual(NOTHING);
    expect(await alive(web, session)).toEqual([false, true]);
    expect([await isIn(visitor), await isIn(other)]).toEqual([true, true]);
    expect(await auditOf(app(), session.userId, 'session_ended')).toEqual([
      expect.objectContaining({ reason: 'account_page', device_id: web.deviceId }),
    ]);
  });

  it('ends those that are selected in the overview, of both kinds', async () => {
    const { session, visitor } = await somebody();
    const web = await begin(visitor, session.userId);
    const phone = await app().matrix.login(session.userId);
    const question = await visitor.submit(await visitor.get('/account'), {
      device_id: [session.deviceId, web.deviceId],
      mode: 'selected',
    });
    expect(textOf(question)).toContain('These devices are signed out at once');
    expect(textOf(question)).not.toContain(phone.deviceId);
    const answer = await end(visitor, question);
    expect(textOf(await visitor.follow(answer))).toContain('2 devices are signed out.');
    expect(await alive(session, web, phone)).toEqual([false, false, true]);
    expect(await isIn(visitor)).toBe(true);
  });

  it('ends all, and signs all other browsers out', async () => {
    const { session, visitor } = await somebody();
    const web = await begin(visitor, session.userId);
    const other = await signedIn(app(), session.userId);
    const client = await OAuthClient.register(app());
    const { verifier, challenge } = newPkce();
    const code = (await client.authorize(other, challenge, { scope: scopeOf(newDeviceId()) })).get('code')!;
    const question = await visitor.submit(await visitor.get('/account'), { mode: 'all' });
    expect(textOf(question)).toContain('All devices are signed out at once, and all other browsers');
    const page = await visitor.follow(await end(visitor, question));
    expect(textOf(page)).toContain('All devices are signed out.');
    expect(textOf(page)).toContain('You are signed in on no device.');
    expect(await alive(session, web)).toEqual([false, false]);
    expect(await census(app(), session.userId)).toEqual(NOTHING);
    expect([await isIn(visitor), await isIn(other)]).toEqual([true, false]);
    expect(await browsersOf(app(), session.userId)).toBe(1);
    await client.exchange(code, verifier).expect(400);
    const ended = await auditOf(app(), session.userId, 'session_ended');
    expect(ended.map(({ reason }) => reason)).toEqual(['account_page', 'account_page']);
  });

  it('ends all but one, and signs all other browsers out', async () => {
    const { session, visitor } = await somebody();
    const web = await begin(visitor, session.userId);
    const other = await signedIn(app(), session.userId);
    const page = await visitor.get(viewOf(web.deviceId));
    const link = valuesOf(page.text, 'href').find((one) => one.includes('mode=others'))!;
    const question = await visitor.get(link);
    expect(textOf(question)).toContain('This device stays:');
    expect(textOf(question)).toContain(web.deviceId);
    await end(visitor, question);
    expect(await alive(session, web)).toEqual([false, true]);
    expect(await census(app(), session.userId, session.deviceId)).toEqual(NOTHING);
    expect([await isIn(visitor), await isIn(other)]).toEqual([true, false]);
  });

  it('of all but two is no question that it asks, and nothing that it does', async () => {
    const { session, visitor } = await somebody();
    const [one, other] = [await begin(visitor, session.userId), await begin(visitor, session.userId)];
    const ids = [one.deviceId, other.deviceId];
    const page = await visitor.get(endOf('others', ...ids));
    expect(formsOf(page.text).map(({ action }) => action)).not.toContain('/account/end');
    const { csrf } = formsOf((await visitor.get(endOf('others', one.deviceId))).text)[0]!.hidden as {
      csrf: string;
    };
    const answer = await visitor.post('/account/end', { csrf, mode: 'others', device_id: ids });
    expect(answer.status).toBe(400);
    expect(await alive(session, one, other)).toEqual([true, true, true]);
  });

  it('ends nothing of anybody else', async () => {
    const [alice, bob] = [await somebody(), await somebody()];
    const page = await bob.visitor.get(endOf('selected', bob.session.deviceId));
    await end(bob.visitor, page, { device_id: [alice.session.deviceId, 'x'.repeat(300), "'"] });
    expect(await alive(alice.session, bob.session)).toEqual([true, true]);
  });

  it('needs to know which', async () => {
    const { session, visitor } = await somebody();
    const page = await visitor.get(endOf('selected', session.deviceId));
    for (const mode of ['selected', 'others', 'ALL', 'unknown']) {
      const { hidden } = formsOf(page.text)[0]!;
      const answer = await visitor.post('/account/end', { csrf: hidden['csrf']!, mode });
      expect([mode, answer.status]).toEqual([mode, 400]);
    }
    expect(await alive(session)).toEqual([true]);
  });

  it('does nothing for somebody who was signed out meanwhile', async () => {
    const { session, visitor } = await somebody();
    const page = await visitor.get(endOf('all'));
    await app().matrix.logoutAll(session).expect(200);
    const next = await app().matrix.login(session.userId);
    expect((await end(visitor, page)).status).toBe(403);
    expect(await alive(next)).toEqual([true]);
  });

  it('comes to the same when two browsers do it at once: one of them stays signed in', async () => {
    const { session, visitor } = await somebody();
    const other = await signedIn(app(), session.userId);
    const pages = [await visitor.get(endOf('all')), await other.get(endOf('all'))];
    const answers = await Promise.all([end(visitor, pages[0]!), end(other, pages[1]!)]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual([303, 403]);
    expect(await browsersOf(app(), session.userId)).toBe(1);
    expect(await census(app(), session.userId)).toEqual(NOTHING);
  });
});

describe('Another browser', () => {
  it('is signed out', async () => {
    const { session, visitor } = await somebody();
    const [other, third] = [await signedIn(app(), session.userId), await signedIn(app(), session.userId)];
    const forms = formsOf((await visitor.get('/account')).text).filter(
      ({ action }) => action === '/account/browser',
    );
    expect(forms).toHaveLength(2);
    const answer = await visitor.post('/account/browser', forms[0]!.hidden);
    expect(answer).toMatchObject({ status: 303, headers: { location: '/account?done=done' } });
    expect([await isIn(other), await isIn(third)].toSorted()).toEqual([false, true]);
    expect(await isIn(visitor)).toBe(true);
    expect(await alive(session)).toEqual([true]);
    expect(await auditOf(app(), session.userId, 'browser_logout')).toHaveLength(1);
  });

  it('of somebody else is not', async () => {
    const [alice, bob] = [await somebody(), await somebody()];
    await signedIn(app(), alice.session.userId);
    const { hidden } = formsOf((await alice.visitor.get('/account')).text).find(
      ({ action }) => action === '/account/browser',
    )!;
    const { csrf } = formsOf((await bob.visitor.get('/account')).text)[1]!.hidden as { csrf: string };
    for (const browser of [hidden['browser'] as string, '', 'x', '%00'])
      expect((await bob.visitor.post('/account/browser', { csrf, browser })).status).toBe(303);
    expect(await browsersOf(app(), alice.session.userId)).toBe(2);
  });
});

describe('Who signed in more than five minutes ago', () => {
  const actions: [string, (session: ClientSession) => string, string, Fields][] = [
    ['to end a session', ({ deviceId }) => endOf('selected', deviceId), '/account/end', {}],
    ['to end all sessions', () => endOf('all'), '/account/end', {}],
    [
      'to deactivate the account',
      () => '/account?action=org.matrix.account_deactivate',
      '/account/deactivate',
      {},
    ],
  ];

  it.each(actions)(
    'needs the password again %s, and then for five minutes not',
    async (_, pathOf, action) => {
      const { session, visitor } = await somebody();
      const fields: Fields = action.endsWith('deactivate') ? { confirm: session.userId } : {};
      const path = pathOf(session);
      expect(valueOf(await visitor.get(path), 'password')).toBeNull();
      app().clock.advance(FIVE_MINUTES + 1_000);
      const page = await visitor.get(path);
      expect(valueOf(page, 'password')).toBe('');
      const none = await visitor.submit(page, fields, { action });
      expect(none.status).toBe(401);
      const wrong = await visitor.submit(none, { ...fields, password: 'my "wrong" one' }, { action });
      expect([wrong.status, textOf(wrong).includes('The password is wrong.')]).toEqual([401, true]);
      expect(wrong.text).not.toContain('my &quot;wrong');
      expect(await alive(session)).toEqual([true]);
      expect(valueOf(await visitor.get(path), 'password')).toBe('');
      const right = await visitor.submit(wrong, { ...fields, password: PASSWORD }, { action });
      expect([200, 303]).toContain(right.status);
      expect(await alive(session)).toEqual([false]);
      if (!action.endsWith('deactivate')) expect(valueOf(await visitor.get(path), 'password')).toBeNull();
    },
  );

  it('is not helped by the password of another user, or by the old one', async () => {
    const { session, visitor } = await somebody();
    const other = await app().matrix.register({ password: NEW_PASSWORD });
    app().clock.advance(FIVE_MINUTES + 1_000);
    const page = await visitor.get(endOf('all'));
    const answer = await end(visitor, page, { password: NEW_PASSWORD, username: other.userId });
    expect(answer.status).toBe(401);
    expect(await alive(session)).toEqual([true]);
  });

  it('keeps what was asked through a wrong password', async () => {
    const { session, visitor } = await somebody();
    const [one, other] = [await begin(visitor, session.userId), await begin(visitor, session.userId)];
    app().clock.advance(FIVE_MINUTES + 1_000);
    const question = await visitor.get(endOf('selected', one.deviceId, other.deviceId));
    const wrong = await end(visitor, question, { password: 'wrong' });
    await end(visitor, wrong, { password: PASSWORD });
    expect(await census(app(), session.userId, one.deviceId)).toEqual(NOTHING);
    expect(await census(app(), session.userId, other.deviceId)).toEqual(NOTHING);
    expect(await alive(session)).toEqual([true]);
  });

  it('signs in again if there is no password, and comes back', async () => {
    const { userId, visitor } = await badgeHolder();
    const web = await begin(visitor, userId);
    app().clock.advance(FIVE_MINUTES + 1_000);
    const path = endOf('selected', web.deviceId);
    const page = await visitor.get(path);
    expect(valueOf(page, 'password')).toBeNull();
    expect(formsOf(page.text)).toEqual([]);
    const link = valuesOf(page.text, 'href').find((one) => one.startsWith('/account/login'))!;
    const form = await visitor.get(link);
    const badge = userId.slice(1, userId.indexOf(':'));
    const back = await visitor.follow(await visitor.submit(form, { badge }, { nth: 1 }));
    await end(visitor, back);
    expect(await census(app(), userId, web.deviceId)).toEqual(NOTHING);
  });

  it('cannot go without a proof by sending the form that the page does not show', async () => {
    const { userId, visitor } = await badgeHolder();
    const web = await begin(visitor, userId);
    const fresh = await visitor.get(endOf('all'));
    app().clock.advance(FIVE_MINUTES + 1_000);
    for (const fields of [{}, { password: '' }, { password: 'x' }] as Fields[])
      expect((await end(visitor, fresh, fields)).status).toBe(401);
    expect((await app().sql('SELECT FROM devices WHERE user_id = $1', [web.userId])).length).toBe(1);
  });

  it('proves it by a password that is kept elsewhere', async () => {
    const userId = `@${uniqueUsername()}:localhost`;
    elsewhere.add(userId);
    const visitor = await signedIn(app(), userId, {}, 'elsewhere');
    const web = await begin(visitor, userId);
    app().clock.advance(FIVE_MINUTES + 1_000);
    const page = await visitor.get(endOf('all'));
    expect((await end(visitor, page, { password: PASSWORD })).status).toBe(401);
    expect((await end(visitor, page, { password: 'elsewhere' })).status).toBe(303);
    expect(await census(app(), userId, web.deviceId)).toEqual(NOTHING);
  });

  it('leaves wrong passwords in the audit', async () => {
    const { session, visitor } = await somebody();
    app().clock.advance(FIVE_MINUTES + 1_000);
    await end(visitor, await visitor.get(endOf('all')), { password: 'wrong' });
    await expect
      .poll(() => auditOf(app(), session.userId, 'refused'))
      .toEqual([expect.objectContaining({ operation: 'POST /account/end', reason: 'M_FORBIDDEN' })]);
  });
});

describe('Changing the password', () => {
  const PAGE = '/account?action=password';
  const change = async (visitor: Visitor, fields: Fields) =>
    visitor.submit(await visitor.get(PAGE), fields, { action: '/account/password' });
  const loginWith = async (user: string, password: string) =>
    (
      await app()
        .http.post(`${V3}/login`)
        .send({ type: 'm.login.password', identifier: { type: 'm.id.user', user }, password })
    ).status;

  it.each([true, false])(
    'keeps this browser, ends other browsers, and devices if wanted: %s',
    async (logout) => {
      const { session, visitor } = await somebody();
      const web = await begin(visitor, session.userId);
      const other = await signedIn(app(), session.userId);
      const client = await OAuthClient.register(app());
      const { verifier, challenge } = newPkce();
      const code = (await client.authorize(other, challenge)).get('code')!;
      const answer = await change(visitor, {
        password: PASSWORD,
        new_password: NEW_PASSWORD,
        ...(logout ? { logout_devices: 'yes' } : {}),
      });
      expect([answer.status, textOf(answer).includes('The password is changed.')]).toEqual([200, true]);
      expect([await isIn(visitor), await isIn(other)]).toEqual([true, false]);
      expect(await alive(session, web)).toEqual([!logout, !logout]);
      await client.exchange(code, verifier).expect(400);
      expect([
        await loginWith(session.userId, PASSWORD),
        await loginWith(session.userId, NEW_PASSWORD),
      ]).toEqual([403, 200]);
      expect(await auditOf(app(), session.userId, 'password_changed')).toHaveLength(1);
    },
  );

  it('suggests to sign the devices out', async () => {
    const { visitor } = await somebody();
    const names = parse((await visitor.get(PAGE)).text).flatMap((one) =>
      one.kind === 'tag' && one.attributes.has('checked') ? [one.attributes.get('name')] : [],
    );
    expect(names).toEqual(['logout_devices']);
  });

  it('needs the old one, even right after signing in', async () => {
    const { session, visitor } = await somebody();
    for (const password of ['wrong', '']) {
      const answer = await change(visitor, { password, new_password: NEW_PASSWORD });
      expect(answer.status).toBe(401);
      expect(answer.text).toMatch(/id="field-password-error" role="alert">The password is wrong\./);
      expect(answer.text).not.toContain(NEW_PASSWORD);
    }
    expect(await loginWith(session.userId, PASSWORD)).toBe(200);
  });

  it.each(['short', 'password1', ''])('refuses %j, and says so at its field', async (new_password) => {
    const { session, visitor } = await somebody();
    const answer = await change(visitor, { password: PASSWORD, new_password });
    expect(answer.status).toBe(400);
    expect(answer.text).toMatch(/id="field-new_password-error" role="alert">/);
    expect(valuesOf(answer.text, 'value')).not.toContain(PASSWORD);
    expect(await alive(session)).toEqual([true]);
    expect(await loginWith(session.userId, PASSWORD)).toBe(200);
  });

  it('refuses the name of the user', async () => {
    const username = 'zaphodbeeblebroxofbetelgeuse';
    const { userId } = await app().matrix.register({ username });
    const answer = await change(await signedIn(app(), userId), {
      password: PASSWORD,
      new_password: username,
    });
    expect(answer.status).toBe(400);
  });

  it('is not offered to those who have none, and does nothing', async () => {
    const { userId, visitor } = await badgeHolder();
    expect((await visitor.get('/account')).text).not.toContain('action=password');
    const page = await visitor.get(PAGE);
    expect(textOf(page)).toContain('Your password is kept elsewhere');
    expect(formsOf(page.text)).toEqual([]);
    const csrf = formsOf((await visitor.get('/account')).text)[0]!.hidden['csrf']!;
    await visitor.post('/account/password', { csrf, password: '', new_password: NEW_PASSWORD });
    expect(await loginWith(userId, NEW_PASSWORD)).toBe(403);
  });

  it('is not possible while the password is kept elsewhere, even if one is left here', async () => {
    const { session, visitor } = await somebody();
    elsewhere.add(session.userId);
    const page = await visitor.get(PAGE);
    const csrf = formsOf((await visitor.get('/account')).text)[0]!.hidden['csrf'] ?? '';
    expect(textOf(page)).toContain('Your password is kept elsewhere');
    const answer = await visitor.post('/account/password', {
      csrf,
      password: 'elsewhere',
      new_password: NEW_PASSWORD,
    });
    expect(textOf(answer)).not.toContain('The password is changed.');
    expect(await auditOf(app(), session.userId, 'password_changed')).toEqual([]);
  });
});

describe('Deactivating the account', () => {
  const PAGE = '/account?action=org.matrix.account_deactivate';
  const deactivate = async (visitor: Visitor, fields: Fields) =>
    visitor.submit(await visitor.get(PAGE), fields, { action: '/account/deactivate' });

  it('needs the typed name', async () => {
    const { session, visitor } = await somebody();
    for (const confirm of [
      '',
      '@somebody:localhost',
      session.userId.slice(1),
      session.userId.toUpperCase(),
    ]) {
      const answer = await deactivate(visitor, { confirm });
      expect([answer.status, textOf(answer).includes('The name is not the one')]).toEqual([400, true]);
    }
    expect(await alive(session)).toEqual([true]);
    expect(deactivated.filter(({ userId }) => userId === session.userId)).toEqual([]);
  });

  it.each([true, false])('ends everything for good, and asks others to forget: %s', async (erase) => {
    const { session, visitor } = await somebody();
    const web = await begin(visitor, session.userId);
    const other = await signedIn(app(), session.userId);
    const answer = await deactivate(visitor, {
      confirm: ` ${session.userId} `,
      ...(erase ? { erase: 'yes' } : {}),
    });
    expect([answer.status, textOf(answer).includes('The account is deactivated')]).toEqual([200, true]);
    expect(answer.headers['set-cookie']).toEqual([expect.stringMatching(/^__Host-session=; .*Max-Age=0$/)]);
    expect([await isIn(visitor), await isIn(other)]).toEqual([false, false]);
    expect(await alive(session, web)).toEqual([false, false]);
    expect(await census(app(), session.userId)).toEqual(NOTHING);
    expect(await browsersOf(app(), session.userId)).toBe(0);
    expect(deactivated.filter(({ userId }) => userId === session.userId)).toMatchObject([{ erase }]);
    const again = new Visitor(app());
    const page = await again.get('/account/login');
    expect((await again.submit(page, { username: session.userId, password: PASSWORD })).status).toBe(401);
  });

  it('asks for the password once, if the name was mistyped', async () => {
    const { session, visitor } = await somebody();
    app().clock.advance(FIVE_MINUTES + 1_000);
    const mistyped = await deactivate(visitor, { confirm: 'wrong', password: PASSWORD });
    expect(mistyped.status).toBe(400);
    expect(valueOf(mistyped, 'password')).toBeNull();
    const answer = await visitor.submit(mistyped, { confirm: session.userId });
    expect(answer.status).toBe(200);
    expect(await alive(session)).toEqual([false]);
  });
});

describe('The limits of the account page', () => {
  const limited = useApp({
    variables: {
      ...OAUTH_VARIABLES,
      RATE_LIMITS: 'on',
      RATE_LIMIT_LOGIN_FAILED_ACCOUNT: '2/1h',
    },
  });

  it.each([
    ['/account/end', endOf('all')],
    ['/account/password', '/account?action=password'],
    ['/account/deactivate', '/account?action=org.matrix.account_deactivate'],
  ])('count wrong passwords at %s with those of sign-ins', async (action, path) => {
    const session = await limited().matrix.register();
    const visitor = await signedIn(limited(), session.userId);
    limited().clock.advance(FIVE_MINUTES + 1_000);
    const page = await visitor.get(path);
    const fields = { new_password: NEW_PASSWORD, confirm: session.userId };
    const statuses = [];
    for (const password of ['wrong', 'wrong', PASSWORD]) {
      const answer = await visitor.submit(page, { ...fields, password }, { action });
      statuses.push(answer.status);
      if (answer.status === 429) expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    }
    expect(statuses).toEqual([401, 401, 429]);
    expect((await limited().matrix.whoami(session)).status).toBe(200);
  });
});

describe('The language of the pages', () => {
  const languageOf = async (path: string, accept?: string) => {
    const visitor = new Visitor(app(), accept === undefined ? {} : { 'Accept-Language': accept });
    return valuesOf((await visitor.follow(await visitor.get(path))).text, 'lang');
  };

  it.each([
    [undefined, 'en'],
    ['de', 'de'],
    ['de-AT,de;q=0.9', 'de'],
    ['DE', 'de'],
    ['fr, de;q=0.5, en;q=0.1', 'de'],
    ['fr, de;q=0.1, en;q=0.5', 'en'],
    ['de;q=0, fr', 'en'],
    ['*', 'en'],
    [',;q=x,,', 'en'],
    ['fr', 'en'],
  ])('is chosen by %j: %s', async (accept, language) => {
    expect(await languageOf('/account/login', accept)).toEqual([language]);
  });

  it('is that which the app asks for, through the sign-in', async () => {
    const client = await OAuthClient.register(app());
    const path = client.authorizePath(newPkce().challenge, { ui_locales: 'fr de-CH en' });
    expect(await languageOf(path, 'en')).toEqual(['de']);
    expect(await languageOf('/account/login?ui_locales=de', 'en')).toEqual(['de']);
    const { session } = await somebody();
    const page = await signedIn(app(), session.userId).then((visitor) => visitor.get(path));
    expect(valuesOf(page.text, 'lang')).toEqual(['de']);
    expect(textOf(page)).toContain('Example App Zugriff geben?');
  });

  it('does not change when a form is refused', async () => {
    const client = await OAuthClient.register(app());
    const path = client.authorizePath(newPkce().challenge, { ui_locales: 'de' });
    const visitor = new Visitor(app(), { 'Accept-Language': 'en' });
    const form = await visitor.follow(await visitor.get(path));
    const refused = await visitor.submit(form, { username: 'nobody', password: 'wrong' });
    expect([refused.status, valuesOf(refused.text, 'lang')]).toEqual([401, ['de']]);
  });

  it('is that of the browser for errors and everything else', async () => {
    const { session } = await somebody();
    const german = { 'Accept-Language': 'de' };
    const visitor = await signedIn(app(), session.userId, german);
    for (const path of [
      '/account',
      viewOf(session.deviceId),
      endOf('all'),
      '/account?action=password',
      '/account?action=org.matrix.account_deactivate',
      '/account?action=org.matrix.cross_signing_reset',
      '/account/link',
      '/account/link?user_code=BBBB-BBBB',
      '/oauth2/auth?client_id=x',
      '/account/register',
      '/_matrix/static/client/login/',
    ]) {
      const page = await visitor.get(path);
      expect([path, valuesOf(page.text, 'lang')]).toEqual([path, ['de']]);
    }
  });
});

describe('The look of the pages', () => {
  let directory: string;
  let styled: TestApp;
  const LOGO = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>';

  /** A team's own pages. */
  class OurPages extends PageTemplates {
    override signIn(view: SignInView, context: PageContext): Html {
      return html`<p id="ours">Use the password of your ${'<badge>'}.</p>
        ${super.signIn(view, context)}`;
    }

    override style(): string {
      return 'body{color:red}';
    }
  }

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'mss-look-'));
    const logo = join(directory, 'logo.svg');
    await writeFile(logo, LOGO);
    styled = await TestApp.start({
      variables: {
        ...OAUTH_VARIABLES,
        PAGES_NAME: 'Acme & <Söhne>',
        PAGES_COLOR: '#FF00aa',
        PAGES_LOGO: logo,
      },
    });
  });
  afterAll(async () => {
    await styled?.stop();
    await rm(directory, { recursive: true, force: true });
  });

  it('has the name, the colour and the logo of the operator', async () => {
    const page = await new Visitor(styled).get('/account/login');
    expect(textOf(page)).toContain('Sign in to your account at Acme & <Söhne>.');
    expect(unescaped(/<title>([^<]*)<\/title>/.exec(page.text)![1]!)).toContain('Acme & <Söhne>');
    const [style] = /<style>[^<]*<\/style>/.exec(page.text)!;
    const [, main] = /--main:(#[0-9a-f]{6})/.exec(style)!;
    const plain = await new Visitor(app()).get('/account/login');
    expect(plain.text).not.toContain(`--main:${main}`);
    expect(valuesOf(page.text, 'src')).toContain('https://matrix.example.org/account/logo');
    expect(page.headers['content-security-policy']).toContain(
      'img-src https://matrix.example.org/account/logo;',
    );
    expect(plain.headers['content-security-policy']).not.toContain('img-src');
    expect(valuesOf(plain.text, 'src')).toEqual(['https://matrix.example.org/account/pages.js']);
  });

  it('serves the logo so that it can do nothing', async () => {
    const answer = await styled.http.get('/account/logo').expect(200);
    expect(answer.headers).toMatchObject({
      'content-type': expect.stringMatching(/^image\/svg\+xml/),
      'x-content-type-options': 'nosniff',
      'content-security-policy': expect.stringMatching(/^default-src 'none';.* sandbox$/),
    });
    expect(answer.body.toString()).toBe(LOGO);
  });

  it('does not start with a logo that is not there', async () => {
    const start = TestApp.start({
      variables: { ...OAUTH_VARIABLES, PAGES_LOGO: join(directory, 'missing.png') },
    });
    const error: unknown = await start.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(EnvironmentError);
    expect((error as Error).message).toMatch(/PAGES_LOGO.*missing\.png/);
  });

  it.each([
    ['PAGES_COLOR', 'red'],
    ['PAGES_COLOR', '#0b6e4f;}*{display:none}'],
    ['PAGES_LOGO', '/etc/passwd'],
    ['PAGES_NAME', 'x'.repeat(101)],
    ['ACCOUNT_BASE_URL', 'javascript:alert(1)'],
    ['ACCOUNT_BASE_URL', 'https://account.example.org/path'],
  ])('does not start with %s=%s', async (name, value) => {
    await expect(TestApp.start({ variables: { ...OAUTH_VARIABLES, [name]: value } })).rejects.toThrow(name);
  });

  describe('of a team', () => {
    const ours = useApp({ variables: OAUTH_VARIABLES, pageTemplates: new OurPages() });

    it('replaces one page and the style, and keeps the rest', async () => {
      const { userId } = await ours().matrix.register();
      const visitor = new Visitor(ours());
      const page = await visitor.get('/account/login');
      expect(valuesOf(page.text, 'id')).toContain('ours');
      expect(textOf(page)).toContain('Use the password of your <badge>.');
      expect(page.text).toContain('<style>body{color:red}</style>');
      // The digest of exactly this style.
      expect(page.headers['content-security-policy']).toContain(
        "style-src 'sha256-FcQqt3aNlV7AZnGV4zkQRVeCeJOxbMPnQSx258L803E='",
      );
      await visitor.submit(page, { username: userId, password: PASSWORD });
      const overview = await visitor.get('/account');
      expect(skeletonOf(overview.text)).toContain('h2 id');
      expect(valuesOf(overview.text, 'id')).not.toContain('ours');
    });
  });
});

describe('The overview', () => {
  it('says so if nothing was selected', async () => {
    const { visitor } = await somebody();
    const page = await visitor.get('/account?action=org.matrix.device_delete&mode=selected');
    expect(textOf(page)).toContain('Select the devices that you want to sign out first.');
  });

  it('is not what is shown for a path that does not exist', async () => {
    const page = await new Visitor(app()).get('/account/nothing');
    expect([page.status, textOf(page)]).toEqual([404, expect.stringContaining('There is no such page')]);
  });
});
