import { describe, expect, it } from 'vitest';
import { asItIs } from '../../src/testing/matrix-client.js';
import { Housekeeping } from '../../src/database/housekeeping.js';
import { Bystander } from '../support/interleaving.js';
import { CLIENT, DEVICE_CODE, oauthError, newPkce, OAUTH_VARIABLES, OAuthClient } from '../support/oauth.js';
import { useApp } from '../support/test-app.js';
import { Visitor } from '../support/visitor.js';

const app = useApp({ variables: OAUTH_VARIABLES });
const DAY_MS = 24 * 60 * 60_000;

const register = (metadata: object) => app().http.post('/oauth2/clients').send(metadata);
const registerText = (text: string | Buffer) =>
  asItIs(app().http.post('/oauth2/clients').type('json')).send(text as string);

let apps = 0;
/** Metadata that no other test uses. */
const another = (): typeof CLIENT => ({ ...CLIENT, client_name: `App ${(apps += 1)}` });

const without = (field: keyof typeof CLIENT) =>
  Object.fromEntries(Object.entries(CLIENT).filter(([name]) => name !== field));

async function isKnown(clientId: string): Promise<boolean> {
  return (await app().sql('SELECT FROM oauth_clients WHERE client_id = $1', [clientId])).length === 1;
}

describe('POST /oauth2/clients', () => {
  it('tells what was kept, and no secret', async () => {
    const metadata = {
      ...another(),
      logo_uri: 'https://static.app.example.net/logo.png',
      tos_uri: 'https://app.example.net/terms',
      policy_uri: 'https://app.example.net/privacy',
    };
    const before = Math.floor(app().clock.now().getTime() / 1_000);
    const { body, headers } = await register(metadata).expect(201);
    expect(body).toEqual({
      ...metadata,
      client_id: expect.stringMatching(/^[\w-]{20,}$/),
      client_id_issued_at: expect.any(Number),
    });
    expect(Number.isInteger(body.client_id_issued_at)).toBe(true);
    expect(body.client_id_issued_at).toBeGreaterThanOrEqual(before);
    expect(headers).toMatchObject({
      'content-type': expect.stringMatching(/^application\/json/),
      'cache-control': 'no-store',
      pragma: 'no-cache',
      'access-control-allow-origin': '*',
    });
  });

  it('lets websites of other origins ask', async () => {
    const { headers } = await app()
      .http.options('/oauth2/clients')
      .set({ Origin: 'https://app.example.net', 'Access-Control-Request-Method': 'POST' })
      .expect(204);
    expect(headers['access-control-allow-origin']).toBe('*');
    expect(headers['access-control-allow-methods']).toContain('POST');
  });

  it('leaves out unknown values and unknown fields', async () => {
    const { body } = await register({
      ...another(),
      'client_name#de': 'Beispiel',
      contacts: ['someone@example.net'],
      id_token_signed_response_alg: 'RS256',
      client_secret: 'secret',
      client_id: 'mine',
      response_types: ['code', 'id_token', 'code id_token'],
      grant_types: ['authorization_code', 'refresh_token', 'implicit', 'password'],
    }).expect(201);
    expect(body.response_types).toEqual(['code']);
    expect(body.grant_types).toEqual(['authorization_code', 'refresh_token']);
    expect(body.client_id).not.toBe('mine');
    expect(Object.keys(body)).not.toEqual(expect.arrayContaining(['contacts']));
    expect(Object.keys(body).toSorted()).toEqual(
      [...Object.keys(CLIENT), 'client_id', 'client_id_issued_at'].toSorted(),
    );
  });

  it('fills in what is not there, and gives every client refresh tokens', async () => {
    const { client_uri, redirect_uris } = CLIENT;
    const { body } = await register({ client_uri, redirect_uris }).expect(201);
    expect(body).toEqual({
      client_uri,
      redirect_uris,
      response_types: ['code'],
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: 'none',
      application_type: 'web',
      client_id: expect.any(String),
      client_id_issued_at: expect.any(Number),
    });
  });

  it('takes a client for the device code alone, without redirect URIs and response types', async () => {
    const { client_uri } = CLIENT;
    const { body } = await register({ client_uri, grant_types: [DEVICE_CODE] }).expect(201);
    expect(body).toMatchObject({ grant_types: ['refresh_token', DEVICE_CODE], redirect_uris: [] });
    const { body: also } = await register({
      client_uri,
      application_type: 'native',
      grant_types: [DEVICE_CODE, 'refresh_token'],
      token_endpoint_auth_method: 'none',
    }).expect(201);
    expect(also.response_types).toEqual([]);
  });

  it('gives equal metadata one client, however often and in whatever order', async () => {
    const redirect_uris = [1, 2, 3].map((nth) => `https://app.example.net/${nth}`);
    const metadata = { ...another(), redirect_uris };
    const { body: first } = await register(metadata).expect(201);
    app().clock.advance(5_000);
    const orders = [redirect_uris.toReversed(), redirect_uris, [...redirect_uris, ...redirect_uris]];
    const again = await Promise.all(
      orders.map((order) => register({ ...metadata, redirect_uris: order, contacts: [] })),
    );
    for (const { status, body } of again) {
      expect(status).toBe(201);
      expect(body.client_id).toBe(first.client_id);
      expect(body.client_id_issued_at).toBe(first.client_id_issued_at);
    }
    const { body: other } = await register({ ...metadata, client_name: 'Other' }).expect(201);
    expect(other.client_id).not.toBe(first.client_id);
  });

  it('gives equal metadata one client, even to many at once', async () => {
    const metadata = another();
    const answers = await Promise.all(Array.from({ length: 12 }, () => register(metadata)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 201));
    expect(new Set(answers.map(({ body }) => body.client_id)).size).toBe(1);
  });

  it('does not wait for anybody who holds the client: every login of an app passes here', async () => {
    const metadata = another();
    const { body: first } = await register(metadata).expect(201);
    const bystander = await Bystander.begin(app());
    try {
      await bystander.run('SELECT FROM oauth_clients WHERE client_id = $1 FOR UPDATE', [first.client_id]);
      const { body } = await register(metadata).timeout(5_000).expect(201);
      expect(body.client_id).toBe(first.client_id);
    } finally {
      await bystander.commit();
    }
  });

  it.each<[string, object]>([
    ['no client_uri', without('client_uri')],
    ['client_uri null', { ...CLIENT, client_uri: null }],
    ['client_uri by http', { ...CLIENT, client_uri: 'http://app.example.net/' }],
    ['client_uri with a user', { ...CLIENT, client_uri: 'https://user@app.example.net/' }],
    ['client_uri of one label', { ...CLIENT, client_uri: 'https://net/' }],
    ['client_uri of an address', { ...CLIENT, client_uri: 'https://10.0.0.1/' }],
    ['client_uri with a wildcard', { ...CLIENT, client_uri: 'https://*.example.net/' }],
    ['client_uri that is a number', { ...CLIENT, client_uri: 5 }],
    ['client_uri with NUL', { ...CLIENT, client_uri: 'https://app.example.net/\0' }],
    ['logo_uri elsewhere', { ...CLIENT, logo_uri: 'https://evil.org/logo.png' }],
    ['logo_uri of an inline image', { ...CLIENT, logo_uri: 'data:image/png;base64,AAAA' }],
    ['tos_uri by http', { ...CLIENT, tos_uri: 'http://app.example.net/terms' }],
    ['tos_uri that is a script', { ...CLIENT, tos_uri: 'javascript:alert(1)' }],
    ['policy_uri above the host', { ...CLIENT, policy_uri: 'https://example.net/privacy' }],
    ['policy_uri with a user', { ...CLIENT, policy_uri: 'https://a:b@app.example.net/privacy' }],
    ['client_name empty', { ...CLIENT, client_name: '' }],
    ['client_name too long', { ...CLIENT, client_name: 'a'.repeat(201) }],
    ['client_name with NUL', { ...CLIENT, client_name: 'a\0b' }],
    ['client_name with a line feed', { ...CLIENT, client_name: 'a\nb' }],
    ['client_name that turns the text around', { ...CLIENT, client_name: 'a\u202Eb' }],
    ['client_name with half a character', { ...CLIENT, client_name: 'a\uD800' }],
    ['client_name that is a list', { ...CLIENT, client_name: ['a'] }],
    ['redirect_uris that is a text', { ...CLIENT, redirect_uris: 'https://app.example.net/' }],
    ['redirect_uris with a number', { ...CLIENT, redirect_uris: [5] }],
    ['grant_types without one of ours', { ...CLIENT, grant_types: ['implicit'] }],
    ['grant_types with refreshes only', { ...CLIENT, grant_types: ['refresh_token'] }],
    ['grant_types that is empty', { ...CLIENT, grant_types: [] }],
    ['grant_types that is a text', { ...CLIENT, grant_types: 'authorization_code' }],
    ['response_types without code', { ...CLIENT, response_types: ['id_token'] }],
    ['response_types that is empty', { ...CLIENT, response_types: [] }],
    ['a secret as auth method', { ...CLIENT, token_endpoint_auth_method: 'client_secret_basic' }],
    ['a key as auth method', { ...CLIENT, token_endpoint_auth_method: 'private_key_jwt' }],
    ['another application_type', { ...CLIENT, application_type: 'desktop' }],
  ])('refuses %s', async (_, metadata) => {
    oauthError.expect(await register(metadata), 400, 'invalid_client_metadata');
  });

  it.each<[string, object]>([
    ['none', { ...CLIENT, redirect_uris: [] }],
    ['none at all', without('redirect_uris')],
    ['one elsewhere', { ...CLIENT, redirect_uris: ['https://evil.org/callback'] }],
    ['one of two elsewhere', { ...CLIENT, redirect_uris: [...CLIENT.redirect_uris, 'https://evil.org/'] }],
    ['one that only ends alike', { ...CLIENT, redirect_uris: ['https://evilapp.example.net/'] }],
    ['one with a fragment', { ...CLIENT, redirect_uris: ['https://app.example.net/#'] }],
    ['one with NUL', { ...CLIENT, redirect_uris: ['https://app.example.net/\0'] }],
    ['one that is empty', { ...CLIENT, redirect_uris: [''] }],
    ['loopback for a website', { ...CLIENT, redirect_uris: ['http://127.0.0.1/'] }],
    [
      'loopback with a port',
      { ...CLIENT, application_type: 'native', redirect_uris: ['http://127.0.0.1:80/'] },
    ],
    ['another scheme', { ...CLIENT, application_type: 'native', redirect_uris: ['org.evil:/callback'] }],
    [
      'a scheme with an authority',
      { ...CLIENT, application_type: 'native', redirect_uris: ['net.example.app://callback'] },
    ],
    ['a script', { ...CLIENT, application_type: 'native', redirect_uris: ['javascript:alert(1)'] }],
  ])('refuses these redirect URIs: %s', async (_, metadata) => {
    const answer = await register(metadata);
    // NUL cannot be in a body at all.
    const error = JSON.stringify(metadata).includes('\\u0000') ? answer.body.error : 'invalid_redirect_uri';
    expect(error).toMatch(/^invalid_/);
    oauthError.expect(answer, 400, error);
  });

  it('takes the schemes and the loopback interface of an app', async () => {
    const redirect_uris = [
      'net.example.app:/callback',
      'net.example.app.desktop:/callback',
      'http://127.0.0.1/callback',
      'http://[::1]/callback',
      'http://localhost/callback',
      'https://app.example.net/callback',
    ];
    const { body } = await register({ ...another(), application_type: 'native', redirect_uris }).expect(201);
    expect(body).toMatchObject({ application_type: 'native', redirect_uris });
  });

  it.each<[string, string | Buffer]>([
    ['nothing', ''],
    ['no JSON', '{'],
    ['a list', '[]'],
    ['a text', '"text"'],
    ['null', 'null'],
    ['a form', 'client_uri=https%3A%2F%2Fapp.example.net%2F'],
    ['NUL in an unknown field', JSON.stringify({ ...CLIENT, x: '\0' })],
    ['NUL in an unknown name', JSON.stringify({ ...CLIENT, '\0': 'x' })],
    ['broken UTF-8', Buffer.concat([Buffer.from('{"client_uri":"'), Buffer.from([0xff]), Buffer.from('"}')])],
    ['what nests deeply', `{"x":${'['.repeat(5_000)}${']'.repeat(5_000)}}`],
  ])('refuses a body of %s', async (_, text) => {
    oauthError.expect(await registerText(text), 400, 'invalid_client_metadata');
  });

  it('refuses a large body, and never fails', async () => {
    const answer = await register({ ...CLIENT, client_name: 'a'.repeat(70_000) });
    expect([400, 413]).toContain(answer.status);
    expect(answer.body).toEqual({ error: expect.any(String), error_description: expect.any(String) });
  });

  it('is forgotten after 30 days without use, but not while a session or a code needs it', async () => {
    const [idle, codes, live] = [
      await OAuthClient.register(app(), another()),
      await OAuthClient.register(app(), another()),
      await OAuthClient.register(app(), another()),
    ];
    const alice = await app().matrix.register();
    const tokens = await live.signIn(alice.userId);
    app().clock.advance(29 * DAY_MS);
    await app().nest.get(Housekeeping).run();
    expect(await isKnown(idle.clientId)).toBe(true);
    app().clock.advance(2 * DAY_MS);
    const visitor = new Visitor(app());
    await visitor.signIn(alice.userId, 'correct horse battery staple');
    const { verifier, challenge } = newPkce();
    const code = (await codes.authorize(visitor, challenge)).get('code')!;
    await app().nest.get(Housekeeping).run();
    expect(await Promise.all([idle, codes, live].map(({ clientId }) => isKnown(clientId)))).toEqual([
      false,
      true,
      true,
    ]);
    await codes.exchange(code, verifier).expect(200);
    await live.refresh(tokens.refresh_token).expect(200);
    oauthError.expect(await idle.refresh(tokens.refresh_token), 401, 'invalid_client');
  });

  it('stays for another 30 days after each use', async () => {
    const metadata = another();
    const client = await OAuthClient.register(app(), metadata);
    app().clock.advance(20 * DAY_MS);
    await register(metadata).expect(201);
    app().clock.advance(20 * DAY_MS);
    await app().nest.get(Housekeeping).run();
    expect(await isKnown(client.clientId)).toBe(true);
    app().clock.advance(11 * DAY_MS);
    await app().nest.get(Housekeeping).run();
    expect(await isKnown(client.clientId)).toBe(false);
  });
});

it('Every registration is answered in the words of RFC 7591, whatever is wrong with it', async () => {
  const client_uris = ['http://example.org', '', 'x', null, 1, 'https://app.example.net/'];
  const redirects = [
    ['org.example:/cb'],
    ['http://127.0.0.1/'],
    ['https://app.example.net/'],
    'x',
    [1],
    null,
  ];
  for (const client_uri of client_uris)
    for (const redirect_uris of redirects)
      for (const application_type of ['web', 'native', 'x']) {
        const { status, body } = await app()
          .http.post('/oauth2/clients')
          .send({ client_uri, redirect_uris, application_type });
        const isMade = status === 201 && typeof body.client_id === 'string';
        const isRefused =
          status === 400 && /^invalid_(client_metadata|redirect_uri)$/.test(body.error as string);
        expect([client_uri, redirect_uris, application_type, isMade || isRefused]).toEqual([
          client_uri,
          redirect_uris,
          application_type,
          true,
        ]);
      }
});
