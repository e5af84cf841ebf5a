import { describe, expect, it } from 'vitest';
import { newDeviceId, OAUTH_VARIABLES, OAuthClient, scopeOf } from '../support/oauth.js';
import { type TestApp, useApp } from '../support/test-app.js';
import { formsOf, textOf, valueOf, Visitor } from '../support/visitor.js';
import { skeletonOf } from './parse.js';
import { auditOf, signedIn } from './people.js';

const WRONG = 'There is no device that waits with this code.';

const app = useApp({ variables: { ...OAUTH_VARIABLES, TRUST_PROXY: '1' } });

interface Waiting {
  readonly client: OAuthClient;
  readonly deviceId: string;
  readonly deviceCode: string;
  /** `XXXX-XXXX`. */
  readonly userCode: string;
}

/** A device that waits for its user. */
async function waiting(on: TestApp = app()): Promise<Waiting> {
  const client = await OAuthClient.register(on);
  const deviceId = newDeviceId();
  const { body } = await client
    .device(scopeOf(deviceId))
    .set({ 'User-Agent': 'Television/1.0', 'X-Forwarded-For': '192.0.2.7' })
    .expect(200);
  return { client, deviceId, deviceCode: body.device_code as string, userCode: body.user_code as string };
}

async function somebody(on: TestApp = app(), headers: Record<string, string> = {}) {
  const session = await on.matrix.register();
  return { session, visitor: await signedIn(on, session.userId, headers) };
}

const open = (visitor: Visitor, code: string) =>
  visitor.get(`/account/link?user_code=${encodeURIComponent(code)}`);

async function decide(visitor: Visitor, code: string, decision: string) {
  return visitor.submit(await open(visitor, code), { decision }, { action: '/account/link' });
}

const poll = async ({ client, deviceCode }: Waiting) => {
  const { status, body } = await client.pollDevice(deviceCode);
  return status === 200 ? 'tokens' : (body.error as string);
};

describe('The page to link a device', () => {
  it('asks for the code, and then shows who wants in, from where, and what to compare', async () => {
    const { session, visitor } = await somebody();
    const device = await waiting();
    const empty = await visitor.get('/account/link');
    expect([empty.status, valueOf(empty, 'user_code')]).toEqual([200, '']);
    const page = await visitor.submit(empty, { user_code: device.userCode });
    expect(page.status).toBe(200);
    const text = textOf(page);
    expect(text).toContain('Let Example App in?');
    expect(text).toContain('Does your other device show this code?');
    for (const part of [
      device.userCode,
      'app.example.net',
      device.deviceId,
      session.userId,
      '192.0.2.7',
      'Television/1.0',
      'nobody legitimate asks for it',
    ])
      expect(text).toContain(part);
  });

  it('lets the device in, for the user who is signed in', async () => {
    const { session, visitor } = await somebody();
    const device = await waiting();
    expect(await poll(device)).toBe('authorization_pending');
    const answer = await decide(visitor, device.userCode, 'allow');
    expect([answer.status, textOf(answer).includes('Your device is linked')]).toEqual([200, true]);
    const { body } = await device.client.pollDevice(device.deviceCode).expect(200);
    const { body: who } = await app().matrix.whoami({ ...session, accessToken: body.access_token });
    expect(who).toMatchObject({ user_id: session.userId, device_id: device.deviceId });
    expect(await auditOf(app(), session.userId, 'device_approved')).toEqual([
      expect.objectContaining({ device_id: device.deviceId, client_id: device.client.clientId }),
    ]);
    expect(await poll(device)).toBe('invalid_grant');
  });

  it('refuses the device for good', async () => {
    const { session, visitor } = await somebody();
    const device = await waiting();
    const page = await open(visitor, device.userCode);
    const answer = await visitor.submit(page, { decision: 'refuse' }, { action: '/account/link' });
    expect(textOf(answer)).toContain('The device was refused');
    expect(await poll(device)).toBe('access_denied');
    const other = await somebody();
    const otherForm = formsOf((await open(other.visitor, (await waiting()).userCode)).text)[0]!;
    for (const again of [
      await visitor.submit(page, { decision: 'allow' }, { action: '/account/link' }),
      await other.visitor.post('/account/link', {
        ...otherForm.hidden,
        user_code: device.userCode,
        decision: 'allow',
      }),
    ])
      expect(again.status).toBe(404);
    expect(await poll(device)).toBe('access_denied');
    expect((await auditOf(app(), session.userId)).map(({ action }) => action)).toContain('device_refused');
    expect(await auditOf(app(), other.session.userId, 'device_approved')).toEqual([]);
  });

  it.each([
    ['in small letters', (code: string) => code.toLowerCase()],
    ['without the dash', (code: string) => code.replace('-', '')],
    ['with blanks', (code: string) => ` ${code.slice(0, 2)} ${code.slice(2, 4)}  ${code.slice(5)}\t`],
    ['with another dash', (code: string) => code.replace('-', '–')],
    ['with dots', (code: string) => [...code.replace('-', '')].join('.')],
  ])('takes a code that is typed %s', async (_, typed) => {
    const { visitor } = await somebody();
    const device = await waiting();
    const page = await open(visitor, typed(device.userCode));
    expect([page.status, textOf(page).includes(device.userCode)]).toEqual([200, true]);
    const form = formsOf(page.text).find(({ action }) => action === '/account/link')!;
    const answer = await visitor.post('/account/link', {
      ...form.hidden,
      user_code: typed(device.userCode),
      decision: 'allow',
    });
    expect(answer.status).toBe(200);
    expect(await poll(device)).toBe('tokens');
  });

  it('shows the question to whoever opens a link, and never answers it by that', async () => {
    const { visitor } = await somebody();
    const device = await waiting();
    for (const more of ['', '&decision=allow', '&decision=allow&csrf=x', '&user_code=BBBB-BBBB']) {
      const page = await visitor.get(`/account/link?user_code=${device.userCode}${more}`);
      expect([page.status, textOf(page).includes('Does your other device show this code?')]).toEqual([
        200,
        true,
      ]);
    }
    expect(await poll(device)).toBe('authorization_pending');
  });

  it('keeps the code of a link through the sign-in, and for another account', async () => {
    const { session } = await somebody();
    const device = await waiting();
    const visitor = new Visitor(app());
    const { verification_uri_complete } = (await device.client.device(scopeOf(newDeviceId())).expect(200))
      .body as Record<string, string>;
    const { pathname, search } = new URL(verification_uri_complete!);
    const page = await visitor.signIn(session.userId, 'correct horse battery staple', pathname + search);
    expect(textOf(page)).toContain('Does your other device show this code?');
    const out = await visitor.submit(page, {}, { action: '/account/logout' });
    expect(out.headers['location']).toBe(`/account/login?continue=${encodeURIComponent(pathname + search)}`);
  });

  it('answers unknown, expired and decided codes alike', async () => {
    const { visitor } = await somebody();
    const [refused, approved, expired] = [await waiting(), await waiting(), await waiting()];
    await decide(visitor, refused.userCode, 'refuse');
    await decide(visitor, approved.userCode, 'allow');
    app().clock.advance(20 * 60_000 + 1_000);
    const fresh = await somebody();
    const { hidden } = formsOf((await fresh.visitor.get('/account')).text).find(
      ({ method }) => method === 'post',
    )!;
    const pages = [];
    for (const user_code of [refused, approved, expired]
      .map(({ userCode }) => userCode)
      .concat('BBBB-BBBB')) {
      for (const page of [
        await open(fresh.visitor, user_code),
        await fresh.visitor.post('/account/link', { ...hidden, user_code, decision: 'allow' }),
      ]) {
        expect([page.status, textOf(page).includes(WRONG)]).toEqual([404, true]);
        expect(valueOf(page, 'user_code')).toBe(user_code);
        pages.push(page.text.replaceAll(user_code, 'CODE'));
      }
    }
    expect(new Set(pages).size).toBe(1);
    expect(await poll(expired)).toBe('expired_token');
  });

  it.each(['AAAA-AAAA', 'BBBB', 'BBBB-BBBBB', "' OR 1=1 --", '🦊', 'BBBB-BBB%'])(
    'takes %j for no code',
    async (typed) => {
      const { visitor } = await somebody();
      const page = await open(visitor, typed);
      expect([page.status, textOf(page).includes(WRONG)]).toEqual([404, true]);
    },
  );

  it('shows a long code of a stranger as text, and cut', async () => {
    const { visitor } = await somebody();
    const evil = '"><script>alert(1)</script>';
    const page = await open(visitor, evil);
    expect(skeletonOf(page.text)).toEqual(skeletonOf((await open(visitor, 'BBBB')).text));
    expect(valueOf(page, 'user_code')).toBe(evil.slice(0, 20));
  });

  it.each(['', 'ALLOW', 'yes'])('decides nothing by %j', async (decision) => {
    const { visitor } = await somebody();
    const device = await waiting();
    expect((await decide(visitor, device.userCode, decision)).status).toBe(400);
    expect(await poll(device)).toBe('authorization_pending');
  });

  it('lets nobody decide who was signed out meanwhile', async () => {
    const { session, visitor } = await somebody();
    const device = await waiting();
    const page = await open(visitor, device.userCode);
    await app().matrix.logoutAll(session).expect(200);
    const answer = await visitor.submit(page, { decision: 'allow' }, { action: '/account/link' });
    expect(answer.status).toBe(403);
    expect(await poll(device)).toBe('authorization_pending');
  });

  it('lets one of two users decide who do it at once', async () => {
    const [one, other] = [await somebody(), await somebody()];
    const device = await waiting();
    const pages = [await open(one.visitor, device.userCode), await open(other.visitor, device.userCode)];
    const answers = await Promise.all([
      one.visitor.submit(pages[0]!, { decision: 'allow' }, { action: '/account/link' }),
      other.visitor.submit(pages[1]!, { decision: 'allow' }, { action: '/account/link' }),
    ]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 404]);
    const { body } = await device.client.pollDevice(device.deviceCode).expect(200);
    const winner = answers[0].status === 200 ? one.session : other.session;
    const { body: who } = await app().matrix.whoami({ ...winner, accessToken: body.access_token });
    expect(who['user_id']).toBe(winner.userId);
  });

  it('takes back what was allowed and not yet fetched when all sessions end', async () => {
    const { session, visitor } = await somebody();
    const device = await waiting();
    await decide(visitor, device.userCode, 'allow');
    await app().matrix.logoutAll(session).expect(200);
    expect(await poll(device)).toBe('invalid_grant');
    expect(await app().sql('SELECT FROM devices WHERE user_id = $1', [session.userId])).toEqual([]);
  });
});

describe('Guesses of codes', () => {
  const limited = useApp({
    variables: {
      ...OAUTH_VARIABLES,
      RATE_LIMITS: 'on',
      TRUST_PROXY: '1',
      RATE_LIMIT_USER_CODE_USER: '3/1h',
      RATE_LIMIT_USER_CODE_ADDRESS: '5/1h',
    },
  });
  let addresses = 0;
  const address = () => ({ 'X-Forwarded-For': `10.3.0.${(addresses += 1)}` });
  /** The same user at another address. */
  const elsewhere = (userId: string, headers = address()) => signedIn(limited(), userId, headers);

  it('are limited for a user at all addresses, by links and by forms', async () => {
    const { session, visitor } = await somebody(limited(), address());
    const device = await waiting(limited());
    const page = await open(visitor, device.userCode);
    expect((await open(visitor, 'BBBB-BBBB')).status).toBe(404);
    const wrong = await visitor.submit(
      page,
      { user_code: 'BBBB-BBBC', decision: 'allow' },
      { action: '/account/link' },
    );
    expect(wrong.status).toBe(404);
    const other = await elsewhere(session.userId);
    expect((await open(other, 'too short')).status).toBe(404);
    for (const answer of [
      await open(other, device.userCode),
      await visitor.submit(page, { decision: 'allow' }, { action: '/account/link' }),
    ]) {
      expect(answer.status).toBe(429);
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
      expect(textOf(answer)).toContain('Too many attempts');
    }
    expect(await poll(device)).toBe('authorization_pending');
    const { visitor: another } = await somebody(limited(), address());
    expect((await open(another, device.userCode)).status).toBe(200);
  });

  it('are limited for an address with all users', async () => {
    const from = address();
    const [one, other] = [await somebody(limited(), from), await somebody(limited(), from)];
    const device = await waiting(limited());
    for (let times = 0; times < 3; times += 1)
      expect((await open(one.visitor, 'BBBB-BBBB')).status).toBe(404);
    for (let times = 0; times < 2; times += 1)
      expect((await open(other.visitor, 'BBBB-BBBB')).status).toBe(404);
    const fresh = await somebody(limited(), from);
    expect((await open(fresh.visitor, device.userCode)).status).toBe(429);
    const same = await elsewhere(fresh.session.userId);
    expect((await open(same, device.userCode)).status).toBe(200);
  });

  it('do not count those who type the code that is there', async () => {
    const { visitor } = await somebody(limited(), address());
    const device = await waiting(limited());
    for (let times = 0; times < 7; times += 1)
      expect((await open(visitor, device.userCode)).status).toBe(200);
    expect((await decide(visitor, device.userCode, 'allow')).status).toBe(200);
  });

  it('are in the audit', async () => {
    const { session, visitor } = await somebody(limited(), address());
    const page = await open(visitor, (await waiting(limited())).userCode);
    await visitor.submit(page, { user_code: 'BBBB-BBBB', decision: 'allow' }, { action: '/account/link' });
    await expect
      .poll(() => auditOf(limited(), session.userId, 'refused'))
      .toEqual([expect.objectContaining({ operation: 'POST /account/link' })]);
  });
});
