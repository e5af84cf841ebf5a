import { beforeAll, describe, expect, it } from 'vitest';
import { type ClientSession, PASSWORD } from '../../src/testing/matrix-client.js';
import {
  CLIENT,
  DEVICE_CODE,
  newDeviceId,
  newPkce,
  OAUTH_VARIABLES,
  OAuthClient,
  REDIRECT_URI,
  scopeOf,
} from '../support/oauth.js';
import { useApp } from '../support/test-app.js';
import { Visitor } from '../support/visitor.js';

const app = useApp({ variables: OAUTH_VARIABLES });
const { challenge } = newPkce();

let client: OAuthClient;
let alice: ClientSession;
let browser: Visitor;
beforeAll(async () => {
  client = await OAuthClient.register(app());
  alice = await app().matrix.register();
  browser = new Visitor(app());
  await browser.signIn(alice.userId, PASSWORD);
});

type Changes = Record<string, string | undefined>;

describe('GET /oauth2/auth', () => {
  it.each<[string, (changes: Changes) => string]>([
    ['without client_id', () => client.authorizePath(challenge, { client_id: undefined })],
    ['with an unknown client_id', () => client.authorizePath(challenge, { client_id: 'unknown' })],
    ['with client_id twice', () => `${client.authorizePath(challenge)}&client_id=${client.clientId}`],
    ['without redirect_uri', () => client.authorizePath(challenge, { redirect_uri: undefined })],
    [
      'with another redirect_uri',
      () => client.authorizePath(challenge, { redirect_uri: 'https://evil.org/' }),
    ],
    ['with more behind it', () => client.authorizePath(challenge, { redirect_uri: `${REDIRECT_URI}/x` })],
    ['with redirect_uri twice', () => `${client.authorizePath(challenge)}&redirect_uri=https://evil.org/`],
    ['with broken UTF-8', () => `${client.authorizePath(challenge)}&x=%ff`],
    ['with NUL', () => `${client.authorizePath(challenge)}&x=%00`],
    ['with nothing', () => '/oauth2/auth'],
  ])('%s is a page for people, and never leads away', async (_, pathOf) => {
    for (const visitor of [browser, new Visitor(app())]) {
      const answer = await visitor.get(pathOf({}));
      expect(answer.status).toBe(400);
      expect(answer.headers['content-type']).toMatch(/^text\/html/);
      expect(answer.headers).not.toHaveProperty('location');
    }
  });

  it.each<[string, string, Changes]>([
    ['without response_type', 'invalid_request', { response_type: undefined }],
    ['with another response_type', 'unsupported_response_type', { response_type: 'token' }],
    ['without PKCE', 'invalid_request', { code_challenge: undefined, code_challenge_method: undefined }],
    ['with plain PKCE', 'invalid_request', { code_challenge_method: 'plain' }],
    ['without a method', 'invalid_request', { code_challenge_method: undefined }],
    ['with form_post', 'invalid_request', { response_mode: 'form_post' }],
    ['with another scope', 'invalid_scope', { scope: 'openid' }],
    ['with prompt=none', 'login_required', { prompt: 'none' }],
    ['with a request object', 'request_not_supported', { request: 'x' }],
    ['with an address of one', 'request_uri_not_supported', { request_uri: 'https://a.example/' }],
  ])('%s tells the app, once somebody has signed in: %s', async (_, error, changes) => {
    const path = client.authorizePath(challenge, changes);
    // Anybody may register a client: a link to this service must not lead on to it by itself.
    const stranger = await new Visitor(app()).get(path);
    expect(stranger.headers['location']).toBe(`/account/login?continue=${encodeURIComponent(path)}`);
    const { status, headers } = await browser.get(path);
    expect(status).toBe(303);
    expect(headers).toMatchObject({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' });
    const { origin, pathname, searchParams, hash } = new URL(headers['location']!);
    expect(origin + pathname).toBe(REDIRECT_URI);
    expect([searchParams.get('error'), searchParams.get('state'), hash]).toEqual([error, 'state-1', '']);
    expect(searchParams.has('code')).toBe(false);
  });

  it('tells the app in the fragment if it wants that, with every byte of its state', async () => {
    const state = 'a+b c%20&=#"<>\u00E9\u{1F600}';
    const refused = await browser.get(
      client.authorizePath(challenge, { response_mode: 'fragment', scope: 'x', state }),
    );
    const at = new URL(refused.headers['location']!);
    expect(at.search).toBe('');
    const answer = new URLSearchParams(at.hash.slice(1));
    expect([answer.get('error'), answer.get('state')]).toEqual(['invalid_scope', state]);
    const page = await browser.get(client.authorizePath(challenge, { response_mode: 'fragment', state }));
    const allowed = await browser.submit(page, { decision: 'allow' }, { action: '/oauth2/auth' });
    const given = new URLSearchParams(new URL(allowed.headers['location']!).hash.slice(1));
    expect([given.get('code'), given.get('state')]).toEqual([expect.stringMatching(/^mxc_/), state]);
  });

  it('tells a client that has not registered for codes', async () => {
    const device = await OAuthClient.register(app(), { ...CLIENT, grant_types: [DEVICE_CODE] });
    const { headers } = await browser.get(device.authorizePath(challenge));
    expect(new URL(headers['location']!).searchParams.get('error')).toBe('unauthorized_client');
  });

  it('lets a visitor sign in and come back, and one who wants an account register', async () => {
    const visitor = new Visitor(app());
    const path = client.authorizePath(challenge);
    const { status, headers } = await visitor.get(path);
    expect([status, headers['location']]).toEqual([
      303,
      `/account/login?continue=${encodeURIComponent(path)}`,
    ]);
    const creating = client.authorizePath(challenge, { prompt: 'create' });
    expect((await visitor.get(creating)).headers['location']).toMatch(/^\/account\/register\?continue=/);
    const page = await visitor.signIn(alice.userId, PASSWORD, path);
    expect(page.text).toContain('Example App');
    expect((await visitor.get(creating)).status).toBe(200);
  });
});

describe('POST /oauth2/auth', () => {
  it('stores nothing, and gives no code, before the user has decided', async () => {
    const count = async () => (await app().sql('SELECT FROM oauth_grants')).length;
    const before = await count();
    const page = await browser.get(client.authorizePath(challenge, { scope: scopeOf(newDeviceId()) }));
    expect(await count()).toBe(before);
    await browser.submit(page, { decision: 'refuse' }, { action: '/oauth2/auth' });
    expect(await count()).toBe(before);
  });

  it('checks the request anew: a form that was changed leads nowhere', async () => {
    const page = await browser.get(client.authorizePath(challenge));
    const changed = [
      client.authorizePath(challenge, { redirect_uri: 'https://evil.org/' }),
      client.authorizePath(challenge, { client_id: 'unknown' }),
    ];
    for (const path of changed) {
      const fields = { decision: 'allow', request: path.slice(path.indexOf('?') + 1) };
      const answer = await browser.submit(page, fields, { action: '/oauth2/auth' });
      expect(answer.status).toBe(400);
      expect(answer.headers).not.toHaveProperty('location');
    }
    const wide = client.authorizePath(challenge, { scope: `${scopeOf('DEVICEDEVICE')} urn:synapse:admin:*` });
    const fields = { decision: 'allow', request: wide.slice(wide.indexOf('?') + 1) };
    const answer = await browser.submit(page, fields, { action: '/oauth2/auth' });
    expect(new URL(answer.headers['location']!).searchParams.get('error')).toBe('invalid_scope');
  });

  it('needs the form of the page, and a decision', async () => {
    const path = client.authorizePath(challenge);
    const request = path.slice(path.indexOf('?') + 1);
    expect((await browser.post('/oauth2/auth', { request, decision: 'allow' })).status).toBe(403);
    const page = await browser.get(path);
    for (const decision of ['', 'yes', 'ALLOW']) {
      const answer = await browser.submit(page, { decision }, { action: '/oauth2/auth' });
      expect(answer.status).toBe(400);
      expect(answer.headers).not.toHaveProperty('location');
    }
    const other = new Visitor(app());
    await other.signIn(alice.userId, PASSWORD);
    expect((await other.submit(page, { decision: 'allow' }, { action: '/oauth2/auth' })).status).toBe(403);
  });
});
