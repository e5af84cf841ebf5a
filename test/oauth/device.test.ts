import { beforeAll, describe, expect, it } from 'vitest';
import { type ClientSession, PASSWORD } from '../../src/testing/matrix-client.js';
import {
  DEVICE_CODE,
  oauthError,
  lockAccount,
  newDeviceId,
  OAUTH_BASE,
  OAUTH_VARIABLES,
  OAuthClient,
  scopeOf,
  sendForm,
  statusOf,
} from '../support/oauth.js';
import { census, NOTHING, useApp } from '../support/test-app.js';
import { Visitor } from '../support/visitor.js';

const app = useApp({ variables: OAUTH_VARIABLES });

let client: OAuthClient;
let other: OAuthClient;
let alice: ClientSession;
let visitor: Visitor;
beforeAll(async () => {
  client = await OAuthClient.register(app());
  other = await OAuthClient.register(app(), {
    client_uri: 'https://tv.example.org/',
    client_name: 'Living Room',
    grant_types: [DEVICE_CODE],
  });
  alice = await app().matrix.register();
  visitor = new Visitor(app());
  await visitor.signIn(alice.userId, PASSWORD);
});

interface Codes {
  readonly device_code: string;
  readonly user_code: string;
  readonly verification_uri_complete: string;
  readonly deviceId: string;
}

async function begin(by = client): Promise<Codes> {
  const deviceId = newDeviceId();
  const { body } = await by.device(scopeOf(deviceId)).expect(200);
  return { ...body, deviceId };
}

/** Types the code, and answers the question. */
async function decide(
  { user_code }: Pick<Codes, 'user_code'>,
  decision: 'allow' | 'refuse' = 'allow',
  browser = visitor,
): Promise<number> {
  const page = await browser.get(`/account/link?user_code=${user_code}`);
  expect(page.status).toBe(200);
  return (await browser.submit(page, { decision }, { action: '/account/link' })).status;
}

describe('POST /oauth2/device', () => {
  it('gives codes for the device and for its user', async () => {
    const { body, headers } = await client.device(scopeOf(newDeviceId())).expect(200);
    const shown = expect.stringMatching(/^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/);
    expect(body).toEqual({
      device_code: expect.stringMatching(/^[\w-]{43,}$/),
      user_code: shown,
      verification_uri: `${OAUTH_BASE}/account/link`,
      verification_uri_complete: `${OAUTH_BASE}/account/link?user_code=${body.user_code}`,
      expires_in: 1_200,
      interval: 5,
    });
    expect(headers).toMatchObject({
      'cache-control': 'no-store',
      pragma: 'no-cache',
      'access-control-allow-origin': '*',
    });
  });

  it('makes no device', async () => {
    const { deviceId } = await begin();
    expect(await app().sql('SELECT FROM devices WHERE device_id = $1', [deviceId])).toEqual([]);
  });

  it('stores the device code as a digest only', async () => {
    const { device_code, user_code } = await begin();
    const rows = await app().sql('SELECT g::text AS row FROM oauth_device_grants g WHERE user_code = $1', [
      user_code.replace('-', ''),
    ]);
    expect(rows).toHaveLength(1);
    expect(JSON.stringify(rows)).not.toContain(device_code);
  });

  it('refuses what the token endpoint refuses', async () => {
    const scope = scopeOf(newDeviceId());
    oauthError.expect(await client.device(''), 400, 'invalid_request');
    oauthError.expect(await client.device('openid'), 400, 'invalid_scope');
    oauthError.expect(await client.device(`${scope} email`), 400, 'invalid_scope');
    oauthError.expect(await client.device(scopeOf('SHORT')), 400, 'invalid_scope');
    const send = (body: string) => sendForm(app(), '/oauth2/device', body);
    const encoded = encodeURIComponent(scope);
    oauthError.expect(await send(`scope=${encoded}`), 400, 'invalid_request');
    oauthError.expect(await send(`scope=${encoded}&client_id=unknown`), 401, 'invalid_client');
    const good = `client_id=${client.clientId}&scope=${encoded}`;
    oauthError.expect(await send(`${good}&client_id=x`), 400, 'invalid_request');
    oauthError.expect(await send(`${good}&x=%00`), 400, 'invalid_request');
    oauthError.expect(await send(`${good}&x=%ff`), 400, 'invalid_request');
    oauthError.expect(
      await app().http.post('/oauth2/device').send({ client_id: client.clientId, scope }),
      400,
      'invalid_request',
    );
    await send(good).expect(200);
  });

  it('refuses a secret, as the token endpoint does', async () => {
    const good = new URLSearchParams({ client_id: client.clientId, scope: scopeOf(newDeviceId()) });
    const secret = await sendForm(app(), '/oauth2/device', `${good.toString()}&client_secret=x`);
    oauthError.expect(secret, 401, 'invalid_client');
    const basic = await sendForm(app(), '/oauth2/device', good.toString()).auth(client.clientId, 'x');
    oauthError.expect(basic, 401, 'invalid_client');
  });
});

describe('A device that waits', () => {
  it('gets tokens once its user has agreed, and its device exists from then on', async () => {
    const codes = await begin();
    oauthError.expect(await client.pollDevice(codes.device_code), 400, 'authorization_pending');
    expect(await decide(codes)).toBe(200);
    expect((await census(app(), alice.userId, codes.deviceId))['devices']).toBe(0);
    const { body } = await client.pollDevice(codes.device_code).expect(200);
    expect(body).toEqual({
      access_token: expect.stringMatching(/^mxa_/),
      refresh_token: expect.stringMatching(/^mxr_/),
      token_type: 'Bearer',
      expires_in: 900,
      scope: scopeOf(codes.deviceId),
    });
    const session = { ...alice, accessToken: body.access_token };
    expect((await app().matrix.whoami(session)).body).toMatchObject({
      user_id: alice.userId,
      device_id: codes.deviceId,
    });
    await client.refresh(body.refresh_token).expect(200);
    oauthError.expect(await client.pollDevice(codes.device_code), 400, 'invalid_grant');
    expect(await statusOf(app(), body.access_token)).toBe(200);
  });

  it('of a client for device codes alone gets tokens and refreshes them', async () => {
    const codes = await begin(other);
    await decide(codes);
    const { body } = await other.pollDevice(codes.device_code).expect(200);
    await other.refresh(body.refresh_token).expect(200);
  });

  it('may ask every five seconds, and a second earlier', async () => {
    const { device_code } = await begin();
    const ask = async (afterMs: number, error: string) => {
      app().clock.advance(afterMs);
      oauthError.expect(await client.pollDevice(device_code), 400, error);
    };
    await ask(0, 'authorization_pending');
    await ask(5_000, 'authorization_pending');
    await ask(4_100, 'authorization_pending');
    await ask(4_100, 'authorization_pending');
  });

  it('that asks too often has to wait five seconds longer each time from then on', async () => {
    const { device_code } = await begin();
    const ask = async (afterMs: number, error: string) => {
      app().clock.advance(afterMs);
      oauthError.expect(await client.pollDevice(device_code), 400, error);
    };
    await ask(0, 'authorization_pending');
    await ask(1_000, 'slow_down');
    await ask(5_500, 'slow_down');
    await ask(14_100, 'authorization_pending');
    await ask(10_000, 'slow_down');
    await ask(19_100, 'authorization_pending');
  });

  it('is told at once when the user has decided, however early it asks', async () => {
    const [yes, no] = [await begin(), await begin()];
    for (const { device_code } of [yes, no])
      oauthError.expect(await client.pollDevice(device_code), 400, 'authorization_pending');
    await decide(yes);
    await decide(no, 'refuse');
    await client.pollDevice(yes.device_code).expect(200);
    oauthError.expect(await client.pollDevice(no.device_code), 400, 'access_denied');
    oauthError.expect(await client.pollDevice(no.device_code), 400, 'access_denied');
    expect(await census(app(), alice.userId, no.deviceId)).toEqual(NOTHING);
  });

  it('may wait for twenty minutes', async () => {
    const codes = await begin();
    app().clock.advance(1_195_000);
    oauthError.expect(await client.pollDevice(codes.device_code), 400, 'authorization_pending');
    app().clock.advance(5_001);
    oauthError.expect(await client.pollDevice(codes.device_code), 400, 'expired_token');
    const page = await visitor.get(`/account/link?user_code=${codes.user_code}`);
    expect(page.status).toBe(404);
  });

  it('comes too late after twenty minutes even if its user has agreed', async () => {
    const codes = await begin();
    await decide(codes);
    app().clock.advance(1_200_001);
    const { status, body } = await client.pollDevice(codes.device_code);
    expect(status).toBe(400);
    expect(['expired_token', 'invalid_grant']).toContain(body.error);
    expect(await census(app(), alice.userId, codes.deviceId)).toEqual(NOTHING);
  });

  it('is not served to another client, and another client changes nothing', async () => {
    const codes = await begin();
    oauthError.expect(await other.pollDevice(codes.device_code), 400, 'invalid_grant');
    oauthError.expect(await client.pollDevice(codes.device_code), 400, 'authorization_pending');
    await decide(codes);
    oauthError.expect(await other.pollDevice(codes.device_code), 400, 'invalid_grant');
    await client.pollDevice(codes.device_code).expect(200);
  });

  it('is served once to five that ask at once', async () => {
    for (let round = 0; round < 5; round += 1) {
      const codes = await begin();
      await decide(codes);
      const answers = await Promise.all(
        Array.from({ length: 5 }, () => client.pollDevice(codes.device_code)),
      );
      expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 400, 400, 400, 400]);
      for (const answer of answers)
        // One question does not wait for another with a connection.
        if (answer.status === 400) expect(['invalid_grant', 'slow_down']).toContain(answer.body.error);
      const { body } = answers.find(({ status }) => status === 200)!;
      expect(await statusOf(app(), body.access_token)).toBe(200);
      expect(await census(app(), alice.userId, codes.deviceId)).toMatchObject({
        devices: 1,
        access_tokens: 1,
        refresh_tokens: 1,
      });
    }
  });

  it('gets no session of a user who is locked or signed out everywhere after agreeing', async () => {
    const bob = await app().matrix.register();
    const browser = new Visitor(app());
    await browser.signIn(bob.userId, PASSWORD);
    const [locked, ended] = [await begin(), await begin()];
    for (const codes of [locked, ended]) await decide(codes, 'allow', browser);
    await lockAccount(app(), bob.userId);
    oauthError.expect(await client.pollDevice(locked.device_code), 400, 'invalid_grant');
    await lockAccount(app(), bob.userId, false);
    await client.pollDevice(locked.device_code).expect(200);
    await app().matrix.logoutAll(bob).expect(200);
    oauthError.expect(await client.pollDevice(ended.device_code), 400, 'invalid_grant');
    expect(await census(app(), bob.userId)).toEqual(NOTHING);
  });
});

describe('The page where codes are typed', () => {
  it('lets a visitor sign in first, and then asks', async () => {
    const { user_code } = await begin();
    const browser = new Visitor(app());
    const path = `/account/link?user_code=${user_code}`;
    const sent = await browser.get(path);
    expect(sent.status).toBe(303);
    expect(sent.headers['location']).toBe(`/account/login?continue=${encodeURIComponent(path)}`);
    const page = await browser.signIn(alice.userId, PASSWORD, path);
    expect(page.text).toContain(user_code);
  });

  it('shows who asks, from where, and for which device and account, and answers nothing by itself', async () => {
    const codes = await begin(other);
    const path = codes.verification_uri_complete.slice(OAUTH_BASE.length);
    const page = await visitor.get(path);
    for (const fact of [
      'Living Room',
      'tv.example.org',
      codes.user_code,
      codes.deviceId,
      '127.0.0.1',
      alice.userId,
    ])
      expect(page.text).toContain(fact);
    await visitor.get(path);
    oauthError.expect(await other.pollDevice(codes.device_code), 400, 'authorization_pending');
  });

  it('takes codes however people type them', async () => {
    const codes = await begin();
    const typed = ` ${codes.user_code.toLowerCase().replace('-', '').replaceAll(/(..)/g, '$1 ')}`;
    const first = await visitor.get('/account/link');
    const page = await visitor.submit(first, { user_code: typed }, { action: '/account/link' });
    expect(page.status).toBe(200);
    expect(page.text).toContain(codes.user_code);
    const answer = await visitor.submit(page, { decision: 'allow' }, { action: '/account/link' });
    expect(answer.status).toBe(200);
    await client.pollDevice(codes.device_code).expect(200);
  });

  it('is the same for codes that are unknown, expired, approved and refused', async () => {
    const [approved, refused, late] = [await begin(), await begin(), await begin()];
    await decide(approved);
    await decide(refused, 'refuse');
    app().clock.advance(1_200_001);
    const pages = await Promise.all(
      [approved, refused, late, { user_code: 'BBBB-BBBB' }].map(async ({ user_code }) => {
        const page = await visitor.get(`/account/link?user_code=${user_code}`);
        return { status: page.status, text: page.text.replaceAll(user_code, 'CODE') };
      }),
    );
    for (const page of pages) expect(page).toEqual(pages[0]);
    expect(pages[0]!.status).toBe(404);
  });

  it('decides once: nobody can take a refusal back, or an approval away', async () => {
    const [yes, no] = [await begin(), await begin()];
    const pageOf = ({ user_code }: Codes) => visitor.get(`/account/link?user_code=${user_code}`);
    const [yesPage, noPage] = [await pageOf(yes), await pageOf(no)];
    const submit = (page: typeof yesPage, decision: string) =>
      visitor.submit(page, { decision }, { action: '/account/link' });
    expect((await submit(yesPage, 'allow')).status).toBe(200);
    expect((await submit(yesPage, 'refuse')).status).toBe(404);
    expect((await submit(noPage, 'refuse')).status).toBe(200);
    expect((await submit(noPage, 'allow')).status).toBe(404);
    await client.pollDevice(yes.device_code).expect(200);
    oauthError.expect(await client.pollDevice(no.device_code), 400, 'access_denied');
  });

  it('needs the form of the page: a decision from elsewhere is refused', async () => {
    const codes = await begin();
    const fields = { user_code: codes.user_code, decision: 'allow' };
    expect((await visitor.post('/account/link', fields)).status).toBe(403);
    expect((await visitor.post('/account/link', { ...fields, csrf: 'x' })).status).toBe(403);
    const page = await visitor.get(`/account/link?user_code=${codes.user_code}`);
    const csrf = /name="csrf"[^>]*value="([^"]+)"/.exec(page.text)?.[1] ?? '';
    expect(csrf).not.toBe('');
    const elsewhere = await visitor.post(
      '/account/link',
      { ...fields, csrf },
      { Origin: 'https://evil.org' },
    );
    expect(elsewhere.status).toBe(403);
    const stranger = new Visitor(app());
    expect((await stranger.post('/account/link', { ...fields, csrf })).status).toBe(403);
    oauthError.expect(await client.pollDevice(codes.device_code), 400, 'authorization_pending');
  });

  it('keeps a record of what was decided', async () => {
    const [yes, no] = [await begin(), await begin()];
    await decide(yes);
    await decide(no, 'refuse');
    await client.pollDevice(yes.device_code).expect(200);
    const entries = await app().sql(
      `SELECT action, device_id, client_id FROM audit_entries
       WHERE user_id = $1 AND device_id = ANY ($2) ORDER BY at, entry_id`,
      [alice.userId, [yes.deviceId, no.deviceId]],
    );
    const { clientId: client_id } = client;
    expect(entries).toEqual([
      { action: 'device_approved', device_id: yes.deviceId, client_id },
      { action: 'device_refused', device_id: no.deviceId, client_id },
      { action: 'session_started', device_id: yes.deviceId, client_id },
    ]);
  });
});

describe('Guessing user codes', () => {
  const limited = useApp({
    variables: { ...OAUTH_VARIABLES, RATE_LIMITS: 'on', RATE_LIMIT_USER_CODE_USER: '3/1h' },
  });

  it('is over after a few wrong ones, even with the right one', async () => {
    const bob = await limited().matrix.register();
    const tv = await OAuthClient.register(limited());
    const browser = new Visitor(limited());
    await browser.signIn(bob.userId, PASSWORD);
    const { body } = await tv.device(scopeOf(newDeviceId())).expect(200);
    const type = async (code: string) => (await browser.get(`/account/link?user_code=${code}`)).status;
    // Right ones are not counted.
    for (let tries = 0; tries < 5; tries += 1) expect(await type(body.user_code)).toBe(200);
    for (let tries = 0; tries < 3; tries += 1) expect(await type('BBBB-BBBB')).toBe(404);
    expect(await type('BBBB-BBBB')).toBe(429);
    expect(await type(body.user_code)).toBe(429);
  });
});
