import { describe, expect, it } from 'vitest';
import { newPkce, OAUTH_VARIABLES, OAuthClient } from '../support/oauth.js';
import { useApp } from '../support/test-app.js';
import { textOf } from '../support/visitor.js';

const ACCOUNTS = 'https://account.example.org';
const app = useApp({ variables: { ...OAUTH_VARIABLES, ACCOUNT_BASE_URL: ACCOUNTS } });
const get = (path: string, host: string) => app().http.get(path).set('Host', host).redirects(0);

describe('Pages with a host of their own', () => {
  it('are shown there, and lead there from the host of the API', async () => {
    const client = await OAuthClient.register(app());
    const paths = [
      '/account',
      '/account/login',
      '/account/nothing',
      client.authorizePath(newPkce().challenge),
    ];
    for (const path of paths) {
      const { status, headers } = await get(path, 'matrix.example.org');
      expect([path, status, headers['location']]).toEqual([path, 303, ACCOUNTS + path]);
    }
    expect((await get('/account/login', 'account.example.org')).status).toBe(200);
    // A check of a load balancer names the service as it likes.
    expect((await get('/account/login', '10.0.0.1:8008')).status).toBe(200);
  });

  it('take no form at the host of the API', async () => {
    const answer = await app()
      .http.post('/account/login')
      .set('Host', 'matrix.example.org')
      .type('form')
      .send({});
    expect([answer.status, textOf(answer)]).toEqual([404, expect.stringContaining('There is no such page')]);
  });

  it('leave the fallback pages and the endpoints where clients look for them', async () => {
    expect((await get('/_matrix/static/client/login/', 'matrix.example.org')).status).toBe(200);
    const token = await app()
      .http.post('/oauth2/token')
      .set('Host', 'matrix.example.org')
      .type('form')
      .send({});
    expect(token.body.error).toBe('invalid_request');
  });
});

it('Whatever is below /oauth2 is refused in the words of OAuth 2.0', async () => {
  for (const [method, path, status] of [
    ['post', '/oauth2/token/', 404],
    ['get', '/oauth2/nonsense', 404],
    ['post', '/oauth2/introspect', 404],
    ['put', '/oauth2/auth', 404],
    ['get', '/oauth2/token', 405],
    ['delete', '/oauth2/clients', 405],
  ] as const) {
    const answer = await app().http[method](path);
    expect([path, answer.status, answer.body]).toEqual([
      path,
      status,
      { error: 'invalid_request', error_description: expect.any(String) },
    ]);
  }
});
