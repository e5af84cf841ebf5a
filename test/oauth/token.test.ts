import { beforeAll, describe, expect, it } from 'vitest';
import { asItIs, PASSWORD, type ClientSession } from '../../src/testing/matrix-client.js';
import {
  CLIENT,
  DEVICE_CODE,
  oauthError,
  lockAccount,
  newDeviceId,
  newPkce,
  OAUTH_VARIABLES,
  OAuthClient,
  REDIRECT_URI,
  scopeOf,
  sendForm,
  statusOf,
} from '../support/oauth.js';
import { census, NOTHING, useApp } from '../support/test-app.js';
import { Visitor } from '../support/visitor.js';

const app = useApp({ variables: OAUTH_VARIABLES });

let alice: ClientSession;
let client: OAuthClient;
let other: OAuthClient;
let visitor: Visitor;
beforeAll(async () => {
  alice = await app().matrix.register();
  client = await OAuthClient.register(app());
  other = await OAuthClient.register(app(), { ...CLIENT, client_name: 'Other App' });
  visitor = new Visitor(app());
  await visitor.signIn(alice.userId, PASSWORD);
});

/** A code that the user has agreed to, and its verifier. */
async function newCode(
  parameters: Record<string, string> = {},
): Promise<{ code: string; verifier: string; deviceId: string }> {
  const { verifier, challenge } = newPkce();
  const deviceId = newDeviceId();
  const answer = await client.authorize(visitor, challenge, { scope: scopeOf(deviceId), ...parameters });
  return { code: answer.get('code')!, verifier, deviceId };
}

const usual = (): Record<string, string> => ({
  grant_type: 'authorization_code',
  client_id: client.clientId,
  code: 'mxc_wrong',
  code_verifier: newPkce().verifier,
  redirect_uri: REDIRECT_URI,
});
const formOf = (fields: Record<string, string>) => new URLSearchParams(fields).toString();
const post = (body: string | Buffer) => sendForm(app(), '/oauth2/token', body);

describe('An answer of the token endpoint', () => {
  it('is kept by nobody, and may be read by any website', async () => {
    const { code, verifier } = await newCode();
    const good = await client.exchange(code, verifier).expect(200);
    const bad = await client.exchange('wrong', verifier).expect(400);
    for (const { headers } of [good, bad])
      expect(headers).toMatchObject({
        'content-type': expect.stringMatching(/^application\/json/),
        'cache-control': 'no-store',
        pragma: 'no-cache',
        'access-control-allow-origin': '*',
      });
  });

  it('has whole seconds, and tokens that live as long as it says', async () => {
    const { code, verifier, deviceId } = await newCode();
    const { body } = await client.exchange(code, verifier).expect(200);
    expect(Object.keys(body).toSorted()).toEqual(
      ['access_token', 'expires_in', 'refresh_token', 'scope', 'token_type'].toSorted(),
    );
    expect(body).toMatchObject({ token_type: 'Bearer', scope: scopeOf(deviceId) });
    expect(Number.isInteger(body.expires_in)).toBe(true);
    app().clock.advance(body.expires_in * 1_000 - 5_000);
    expect(await statusOf(app(), body.access_token)).toBe(200);
    app().clock.advance(6_000);
    expect(await statusOf(app(), body.access_token)).toBe(401);
  });

  it('has the scope in the spelling that was asked for', async () => {
    const deviceId = newDeviceId();
    const prefix = 'urn:matrix:org.matrix.msc2967.client:';
    const scope = `openid ${prefix}device:${deviceId} ${prefix}api:*`;
    const { code, verifier } = await newCode({ scope });
    const { body } = await client.exchange(code, verifier).expect(200);
    expect(body.scope).toBe(`${prefix}device:${deviceId} ${prefix}api:*`);
    const { body: whoami } = await app().matrix.whoami({ ...alice, accessToken: body.access_token });
    expect(whoami).toMatchObject({ user_id: alice.userId, device_id: deviceId });
  });

  it('makes a device with every character that a scope may hold, and not before', async () => {
    const deviceId = `a+/b=~!#$%&'()*,-.:;<>?@[]^_\`{|}${newDeviceId()}`;
    const { code, verifier } = await newCode({ scope: scopeOf(deviceId) });
    expect((await census(app(), alice.userId, deviceId))['devices']).toBe(0);
    const { body } = await client.exchange(code, verifier).expect(200);
    expect((await census(app(), alice.userId, deviceId))['devices']).toBe(1);
    const session = { ...alice, accessToken: body.access_token };
    expect((await app().matrix.whoami(session)).body['device_id']).toBe(deviceId);
    await app()
      .matrix.call(session, 'get', `/devices/${encodeURIComponent(deviceId)}`)
      .expect(200);
  });

  it('names a new device after the client, and leaves the name of a known one', async () => {
    const nameless = await OAuthClient.register(app(), { ...CLIENT, client_name: undefined });
    const long = await OAuthClient.register(app(), { ...CLIENT, client_name: 'x'.repeat(200) });
    const names = async (by: OAuthClient, deviceId: string) => {
      const { access_token } = await by.begin(visitor, deviceId);
      const session = { ...alice, accessToken: access_token };
      const { body } = await app().matrix.call(session, 'get', `/devices/${deviceId}`).expect(200);
      return body.display_name as string;
    };
    const deviceId = newDeviceId();
    expect(await names(client, deviceId)).toBe('Example App');
    expect(await names(nameless, deviceId)).toBe('Example App');
    expect(await names(nameless, newDeviceId())).toBe('app.example.net');
    expect(await names(long, newDeviceId())).toBe('x'.repeat(100));
  });
});

describe('A request to the token endpoint', () => {
  it.each<[string, number, string, (form: Record<string, string>) => Record<string, string | undefined>]>([
    ['has no grant_type', 400, 'invalid_request', (form) => ({ ...form, grant_type: undefined })],
    ['has an empty grant_type', 400, 'invalid_request', (form) => ({ ...form, grant_type: '' })],
    [
      'has another grant_type',
      400,
      'unsupported_grant_type',
      (form) => ({ ...form, grant_type: 'password' }),
    ],
    [
      'has a grant_type in capitals',
      400,
      'unsupported_grant_type',
      (form) => ({ ...form, grant_type: 'AUTHORIZATION_CODE' }),
    ],
    [
      'has the name of a property',
      400,
      'unsupported_grant_type',
      (form) => ({ ...form, grant_type: '__proto__' }),
    ],
    ['has no client_id', 400, 'invalid_request', (form) => ({ ...form, client_id: undefined })],
    ['has an unknown client_id', 401, 'invalid_client', (form) => ({ ...form, client_id: 'unknown' })],
    ['has a long client_id', 401, 'invalid_client', (form) => ({ ...form, client_id: 'x'.repeat(50_000) })],
    ['has a client_secret', 401, 'invalid_client', (form) => ({ ...form, client_secret: 'secret' })],
    ['has no code', 400, 'invalid_request', (form) => ({ ...form, code: undefined })],
    ['has no code_verifier', 400, 'invalid_request', (form) => ({ ...form, code_verifier: undefined })],
    ['has no redirect_uri', 400, 'invalid_request', (form) => ({ ...form, redirect_uri: undefined })],
    ['has an unknown code', 400, 'invalid_grant', (form) => form],
    ['has a long code', 400, 'invalid_grant', (form) => ({ ...form, code: 'x'.repeat(50_000) })],
    ['has a short code_verifier', 400, 'invalid_grant', (form) => ({ ...form, code_verifier: 'x' })],
    [
      'refreshes without a token',
      400,
      'invalid_request',
      ({ client_id }) => ({ client_id, grant_type: 'refresh_token' }),
    ],
    [
      'refreshes without a client',
      400,
      'invalid_request',
      () => ({ grant_type: 'refresh_token', refresh_token: 'x' }),
    ],
    [
      'refreshes with garbage',
      400,
      'invalid_grant',
      ({ client_id }) => ({ client_id, grant_type: 'refresh_token', refresh_token: 'x' }),
    ],
    [
      'refreshes by an unknown client',
      401,
      'invalid_client',
      () => ({ client_id: 'x', grant_type: 'refresh_token', refresh_token: 'x' }),
    ],
    [
      'polls without a device code',
      400,
      'invalid_request',
      ({ client_id }) => ({ client_id, grant_type: DEVICE_CODE }),
    ],
    [
      'polls with garbage',
      400,
      'invalid_grant',
      ({ client_id }) => ({ client_id, grant_type: DEVICE_CODE, device_code: 'x' }),
    ],
  ])('that %s gets %d %s', async (_, status, error, change) => {
    const fields = Object.entries(change(usual())).filter(
      (one): one is [string, string] => one[1] !== undefined,
    );
    oauthError.expect(await post(formOf(Object.fromEntries(fields))), status, error);
  });

  it('may repeat nothing', async () => {
    for (const name of [...Object.keys(usual()), 'unknown']) {
      const twice = `${formOf({ ...usual(), unknown: 'x' })}&${name}=x`;
      oauthError.expect(await post(twice), 400, 'invalid_request');
    }
  });

  it('may hold empty and unknown parameters, which count as none', async () => {
    const { code, verifier } = await newCode();
    const form = formOf({
      ...usual(),
      code,
      code_verifier: verifier,
      nonce: 'x',
      resource: 'https://a.example/',
    });
    await post(`&client_secret=&scope=&${form}&code=&`).expect(200);
  });

  it.each<[string, string | Buffer]>([
    ['broken UTF-8', Buffer.concat([Buffer.from('grant_type=refresh_token&x='), Buffer.from([0xc3, 0x28])])],
    ['broken UTF-8, encoded', 'grant_type=refresh_token&x=%C3%28'],
    ['a broken escape', 'grant_type=refresh_token&x=%zz'],
    ['NUL', 'grant_type=refresh_token&client_id=%00&refresh_token=x'],
    ['NUL as it is', 'grant_type=refresh_token&client_id=\0&refresh_token=x'],
    ['NUL in a name', 'grant_type=refresh_token&%00=x'],
    ['nothing', ''],
  ])('may not hold %s', async (_, body) => {
    oauthError.expect(await post(body), 400, 'invalid_request');
  });

  it('is a form, not JSON and nothing else', async () => {
    const { code, verifier } = await newCode();
    const fields = { ...usual(), code, code_verifier: verifier };
    oauthError.expect(await app().http.post('/oauth2/token').send(fields), 400, 'invalid_request');
    for (const type of ['application/json', 'text/plain', 'multipart/form-data; boundary=x'])
      oauthError.expect(
        await asItIs(app().http.post('/oauth2/token').type(type)).send(formOf(fields)),
        400,
        'invalid_request',
      );
    oauthError.expect(await app().http.post('/oauth2/token'), 400, 'invalid_request');
    await post(formOf(fields)).expect(200);
  });

  it('takes nothing from the query', async () => {
    const { code, verifier } = await newCode();
    const fields: Record<string, string> = { ...usual(), code, code_verifier: verifier };
    const inQuery = await sendForm(app(), `/oauth2/token?${formOf(fields)}`, '');
    oauthError.expect(inQuery, 400, 'invalid_request');
    const { client_id = '', ...rest } = fields;
    const partly = await sendForm(app(), `/oauth2/token?client_id=${client_id}`, formOf(rest));
    oauthError.expect(partly, 400, 'invalid_request');
    await sendForm(app(), '/oauth2/token?grant_type=x&code=x', formOf(fields)).expect(200);
  });

  it('never gets an error of Matrix, not even for NUL in the query', async () => {
    const { body } = await sendForm(app(), '/oauth2/token?x=%00', formOf(usual()));
    expect(body).not.toHaveProperty('errcode');
    expect(body).toHaveProperty('error');
  });

  it('may not be large', async () => {
    const answer = await post(formOf({ ...usual(), x: 'x'.repeat(70_000) }));
    expect([400, 413]).toContain(answer.status);
    oauthError.expect(answer, answer.status, 'invalid_request');
  });

  it('says who it is in the body alone', async () => {
    const { code, verifier } = await newCode();
    const form = formOf({ ...usual(), code, code_verifier: verifier });
    const basic = await post(form).auth(client.clientId, '');
    oauthError.expect(basic, 401, 'invalid_client');
    expect(basic.headers['www-authenticate']).toMatch(/^Basic/);
    oauthError.expect(await post(form).auth(client.clientId, 'secret'), 401, 'invalid_client');
    await post(form).expect(200);
  });
});

describe('A code', () => {
  it.each<[string, (fields: Record<string, string>) => Record<string, string>]>([
    ['another verifier', (fields) => ({ ...fields, code_verifier: newPkce().verifier })],
    ['a verifier with more', (fields) => ({ ...fields, code_verifier: `${fields['code_verifier']}x` })],
    ['another redirect URI', (fields) => ({ ...fields, redirect_uri: `${REDIRECT_URI}/` })],
    ['another client', (fields) => ({ ...fields, client_id: other.clientId })],
    ['a changed code', (fields) => ({ ...fields, code: fields['code']!.replace(/.$/, 'x') })],
  ])('with %s is refused, and is good after that', async (_, change) => {
    const { code, verifier, deviceId } = await newCode();
    const good = { ...usual(), code, code_verifier: verifier };
    const refused = await post(formOf(change(good)));
    oauthError.expect(refused, 400, 'invalid_grant');
    expect(await census(app(), alice.userId, deviceId)).toEqual(NOTHING);
    await post(formOf(good)).expect(200);
  });

  it('is refused with one text, whatever is wrong', async () => {
    const { code, verifier } = await newCode();
    const texts = new Set<unknown>();
    const { code: late, verifier: lateVerifier } = await newCode();
    for (const answer of [
      await client.exchange('wrong', verifier),
      await client.exchange(code, newPkce().verifier),
      await client.exchange(code, verifier, { redirect_uri: 'https://app.example.net/' }),
      await other.exchange(code, verifier),
    ])
      texts.add(answer.body.error_description);
    await client.exchange(code, verifier).expect(200);
    texts.add((await client.exchange(code, verifier)).body.error_description);
    app().clock.advance(61_000);
    texts.add((await client.exchange(late, lateVerifier)).body.error_description);
    expect(texts.size).toBe(1);
  });

  it('is good for a minute', async () => {
    const [early, late] = [await newCode(), await newCode()];
    app().clock.advance(50_000);
    await client.exchange(early.code, early.verifier).expect(200);
    app().clock.advance(10_001);
    oauthError.expect(await client.exchange(late.code, late.verifier), 400, 'invalid_grant');
    expect(await census(app(), alice.userId, late.deviceId)).toEqual(NOTHING);
  });

  it('is no token, and no token is a code', async () => {
    const { code, verifier } = await newCode();
    expect(await statusOf(app(), code)).toBe(401);
    oauthError.expect(await client.refresh(code), 400, 'invalid_grant');
    const { body } = await client.exchange(code, verifier).expect(200);
    for (const token of [body.access_token, body.refresh_token])
      oauthError.expect(await client.exchange(token, verifier), 400, 'invalid_grant');
    expect(await statusOf(app(), body.access_token)).toBe(200);
  });

  it('is stored as a digest only', async () => {
    const { code, verifier } = await newCode();
    const rows = await app().sql('SELECT g::text AS row FROM oauth_grants g WHERE user_id = $1', [
      alice.userId,
    ]);
    expect(rows.length).toBeGreaterThan(0);
    expect(JSON.stringify(rows)).not.toContain(code.slice(-30));
    expect(JSON.stringify(rows)).not.toContain(verifier);
  });

  it.each(['locked', 'deactivated'])('is refused to an account that was %s meanwhile', async (how) => {
    const bob = await app().matrix.register();
    const browser = new Visitor(app());
    await browser.signIn(bob.userId, PASSWORD);
    const { verifier, challenge } = newPkce();
    const code = (await client.authorize(browser, challenge)).get('code')!;
    if (how === 'locked') await lockAccount(app(), bob.userId);
    else
      await app()
        .matrix.call(bob, 'post', '/account/deactivate')
        .send({ auth: { type: 'm.login.password', user: bob.userId, password: PASSWORD } })
        .expect(200);
    oauthError.expect(await client.exchange(code, verifier), 400, 'invalid_grant');
    expect((await census(app(), bob.userId, 'DEVICEDEVICE'))['devices']).toBe(0);
    if (how === 'locked') {
      await lockAccount(app(), bob.userId, false);
      await client.exchange(code, verifier).expect(200);
    }
  });

  it('is only for a client that has registered for it', async () => {
    const deviceOnly = await OAuthClient.register(app(), { ...CLIENT, grant_types: [DEVICE_CODE] });
    const codeOnly = await OAuthClient.register(app(), { ...CLIENT, grant_types: ['authorization_code'] });
    oauthError.expect(await deviceOnly.exchange('x', newPkce().verifier), 400, 'unauthorized_client');
    oauthError.expect(await codeOnly.pollDevice('x'), 400, 'unauthorized_client');
    oauthError.expect(await codeOnly.device(scopeOf(newDeviceId())), 400, 'unauthorized_client');
  });

  it('can have its port chosen by an app, which then has to repeat it', async () => {
    const native = await OAuthClient.register(app(), {
      ...CLIENT,
      application_type: 'native',
      redirect_uris: ['http://127.0.0.1/callback'],
    });
    const { verifier, challenge } = newPkce();
    const redirect_uri = 'http://127.0.0.1:49152/callback';
    const scope = scopeOf(newDeviceId());
    const code = (await native.authorize(visitor, challenge, { redirect_uri, scope })).get('code')!;
    const elsewhere = { redirect_uri: 'http://127.0.0.1/callback' };
    oauthError.expect(await native.exchange(code, verifier, elsewhere), 400, 'invalid_grant');
    await native.exchange(code, verifier, { redirect_uri }).expect(200);
  });
});

describe('The limits of the token endpoint', () => {
  const limited = useApp({
    variables: {
      ...OAUTH_VARIABLES,
      RATE_LIMITS: 'on',
      TRUST_PROXY: '1',
      RATE_LIMIT_OAUTH_CODES: '2/1h',
      RATE_LIMIT_OAUTH_DEVICE: '2/1h',
      RATE_LIMIT_OAUTH_CLIENTS: '2/1h',
      RATE_LIMIT_REFRESH: '2/1h',
    },
  });

  it.each<[string, (from: string, by: OAuthClient) => PromiseLike<{ status: number }>]>([
    ['exchanges', (from, by) => by.exchange('mxc_x', newPkce().verifier).set('X-Forwarded-For', from)],
    ['refreshes', (from, by) => by.refresh('mxr_x').set('X-Forwarded-For', from)],
    ['device codes', (from, by) => by.device(scopeOf('DEVICEDEVICE')).set('X-Forwarded-For', from)],
    [
      'registrations',
      (from) => limited().http.post('/oauth2/clients').set('X-Forwarded-For', from).send(CLIENT),
    ],
  ])('answer too many %s with 503, which no client takes for the end of its session', async (what, send) => {
    const { body } = await limited()
      .http.post('/oauth2/clients')
      .set('X-Forwarded-For', `10.9.0.${what.length}`)
      .send(CLIENT)
      .expect(201);
    const by = OAuthClient.known(limited(), body.client_id);
    const from = `10.8.0.${what.length}`;
    for (let tries = 0; tries < 2; tries += 1) expect((await send(from, by)).status).not.toBe(503);
    const answer = (await send(from, by)) as Parameters<typeof oauthError.expect>[0];
    oauthError.expect(answer, 503, 'temporarily_unavailable');
    expect(answer.headers['retry-after']).toMatch(/^[1-9]\d*$/);
    expect((await send(`10.7.0.${what.length}`, by)).status).not.toBe(503);
  });

  it('let everybody revoke', async () => {
    for (let tries = 0; tries < 30; tries += 1)
      await sendForm(limited(), '/oauth2/revoke', 'token=mxa_x').expect(200, {});
  });
});
