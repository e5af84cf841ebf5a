import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEVICE_CODE, OAUTH_BASE, OAUTH_VARIABLES } from '../support/oauth.js';
import { TestApp, useApp } from '../support/test-app.js';

const STABLE = '/_matrix/client/v1/auth_metadata';
const PATHS = [
  STABLE,
  '/_matrix/client/unstable/org.matrix.msc2965/auth_metadata',
  '/.well-known/oauth-authorization-server',
  '/.well-known/openid-configuration',
];
/** Everything below the API, with the method that it has. */
const ENDPOINTS = [
  ['post', '/oauth2/clients'],
  ['post', '/oauth2/token'],
  ['post', '/oauth2/revoke'],
  ['post', '/oauth2/device'],
] as const;
const PAGES = ['/oauth2/auth', '/account', '/account/login', '/account/register', '/account/link'];

/** One service for all tests of a suite, with variables of its own. */
function useService(variables: Record<string, string>): () => TestApp {
  return useApp({ variables });
}

describe('The metadata of the authorization server', () => {
  const app = useService(OAUTH_VARIABLES);

  it.each(PATHS)('has what clients need at %s', async (path) => {
    const { body, headers } = await app().http.get(path).expect(200);
    expect(body).toEqual({
      issuer: `${OAUTH_BASE}/`,
      authorization_endpoint: `${OAUTH_BASE}/oauth2/auth`,
      token_endpoint: `${OAUTH_BASE}/oauth2/token`,
      revocation_endpoint: `${OAUTH_BASE}/oauth2/revoke`,
      registration_endpoint: `${OAUTH_BASE}/oauth2/clients`,
      device_authorization_endpoint: `${OAUTH_BASE}/oauth2/device`,
      response_types_supported: ['code'],
      response_modes_supported: ['query', 'fragment'],
      grant_types_supported: ['authorization_code', 'refresh_token', DEVICE_CODE],
      code_challenge_methods_supported: ['S256'],
      token_endpoint_auth_methods_supported: ['none'],
      revocation_endpoint_auth_methods_supported: ['none'],
      prompt_values_supported: ['create'],
      account_management_uri: `${OAUTH_BASE}/account`,
      account_management_actions_supported: [
        'org.matrix.devices_list',
        'org.matrix.device_view',
        'org.matrix.device_delete',
        'org.matrix.account_deactivate',
        'org.matrix.cross_signing_reset',
        'org.matrix.sessions_list',
        'org.matrix.session_view',
        'org.matrix.session_end',
      ],
    });
    expect(headers).toMatchObject({
      'content-type': expect.stringMatching(/^application\/json/),
      'cache-control': 'public, max-age=3600',
      'access-control-allow-origin': '*',
    });
  });

  it('needs no token, and ignores a wrong one', async () => {
    await app().http.get(STABLE).auth('mxa_wrong', { type: 'bearer' }).expect(200);
    await app().http.get(`${STABLE}?access_token=wrong`).expect(200);
  });

  it('leaves the legacy login API as it is', async () => {
    const { body } = await app().http.get('/_matrix/client/v3/login').expect(200);
    expect(body.flows).toContainEqual(expect.objectContaining({ type: 'm.login.password' }));
  });

  it('names endpoints that exist', async () => {
    const { body } = await app().http.get(STABLE).expect(200);
    const paths = (name: string) => (body[name] as string).slice(OAUTH_BASE.length);
    for (const name of ['token', 'revocation', 'registration', 'device_authorization'])
      await app()
        .http.post(paths(`${name}_endpoint`))
        .expect(400);
    // Without a client, a page and no redirect.
    await app().http.get(paths('authorization_endpoint')).redirects(0).expect(400);
    await app().http.get(paths('account_management_uri')).redirects(0).expect(303);
  });
});

describe('The metadata of a service where nobody may register', () => {
  const app = useService({ ...OAUTH_VARIABLES, REGISTRATION: 'closed' });

  it('does not offer to create an account', async () => {
    const { body } = await app().http.get(STABLE).expect(200);
    expect(body.issuer).toBe(`${OAUTH_BASE}/`);
    expect(body).not.toHaveProperty('prompt_values_supported');
  });
});

describe('The metadata of a service with another host for its pages', () => {
  const app = useService({
    PUBLIC_BASE_URL: `${OAUTH_BASE}/`,
    ACCOUNT_BASE_URL: 'https://account.example.org/',
  });

  it('names that host for pages only', async () => {
    const { body } = await app().http.get(STABLE).expect(200);
    expect(body).toMatchObject({
      issuer: `${OAUTH_BASE}/`,
      token_endpoint: `${OAUTH_BASE}/oauth2/token`,
      authorization_endpoint: 'https://account.example.org/oauth2/auth',
      account_management_uri: 'https://account.example.org/account',
    });
  });
});

describe.each<[string, Record<string, string>]>([
  ['switched off', { ...OAUTH_VARIABLES, OAUTH: 'off' }],
  ['without a public address', {}],
])('OAuth 2.0 that is %s', (_, variables) => {
  const app = useService(variables);
  const unknown = { errcode: 'M_UNRECOGNIZED', error: expect.any(String) };

  it.each(PATHS)('has nothing at %s, and no cache keeps that', async (path) => {
    const { body, headers } = await app().http.get(path).expect(404);
    expect(body).toEqual(unknown);
    expect(headers['cache-control'] ?? '').not.toMatch(/public|max-age=[1-9]/);
  });

  it.each(ENDPOINTS)('has nothing to %s at %s', async (method, path) => {
    const { body } = await app().http[method](path).type('form').send({ client_id: 'x' }).expect(404);
    expect(body).toEqual(unknown);
  });

  it.each(PAGES)('has no page at %s', async (path) => {
    await app().http.get(path).redirects(0).expect(404);
  });
});

describe('OAuth 2.0 that is off while a homeserver asks about tokens', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start({
      variables: {
        ...OAUTH_VARIABLES,
        OAUTH: 'off',
        HOMESERVER_SECRET: 'a-secret-that-only-the-homeserver-knows',
      },
    });
  });
  afterAll(() => app?.stop());

  it('tells it who issues tokens, and nothing else', async () => {
    const { body } = await app.http.get('/.well-known/openid-configuration').expect(200);
    expect(body).toEqual({ issuer: `${OAUTH_BASE}/`, account_management_uri: expect.any(String) });
    await app.http.get(STABLE).expect(404);
    for (const [method, path] of ENDPOINTS) await app.http[method](path).expect(404);
  });
});
