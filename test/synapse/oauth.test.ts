import request from 'supertest';
import { describe, expect, it, vi } from 'vitest';
import { type ClientSession, PASSWORD, someKeys, V3 } from '../../src/testing/matrix-client.js';
import {
  newDeviceId,
  newPkce,
  OAUTH_VARIABLES,
  scopeOf,
  OAuthClient,
  type OAuthTokens,
} from '../support/oauth.js';
import { usePair } from '../support/pair.js';
import { Visitor } from '../support/visitor.js';

const pair = usePair({ variables: { ...OAUTH_VARIABLES, ACCESS_TOKEN_TTL: '5m' } });
const matrix = () => pair().matrix;
/** Everything goes through the proxy. */
const outside = () => ({ http: request(pair().nginx.url) });

async function signIn(): Promise<{
  client: OAuthClient;
  session: ClientSession;
  tokens: OAuthTokens;
  visitor: Visitor;
}> {
  const { userId } = await matrix().register();
  const client = await OAuthClient.register(outside());
  const visitor = new Visitor(outside());
  await visitor.signIn(userId, PASSWORD);
  const deviceId = newDeviceId();
  const tokens = await client.begin(visitor, deviceId);
  return { client, tokens, visitor, session: { userId, deviceId, accessToken: tokens.access_token } };
}

describe('A session of OAuth 2.0 that Synapse trusts', () => {
  it('syncs and has keys, and is gone at both when it is revoked', async () => {
    const { client, session, tokens } = await signIn();
    await matrix().call(session, 'get', '/sync?timeout=0').expect(200);
    await matrix().uploadKeys(session, someKeys(session)).expect(200);
    const { body } = await client.refresh(tokens.refresh_token).expect(200);
    const refreshed = { ...session, accessToken: body.access_token as string };
    await matrix().call(refreshed, 'get', '/sync?timeout=0').expect(200);
    await client.revoke(refreshed.accessToken).expect(200);
    await matrix().call(refreshed, 'get', '/sync?timeout=0').expect(401);
    const other = await matrix().login(session.userId);
    const { body: devices } = await pair().synapse.as(other, 'get', `${V3}/devices`).expect(200);
    expect(devices.devices.map((one: Record<string, string>) => one['device_id'])).not.toContain(
      session.deviceId,
    );
  });

  it('has its cross-signing keys replaced once the user has agreed on the page', async () => {
    const { session, visitor } = await signIn();
    const keysOf = (key: string) => ({
      master_key: { user_id: session.userId, usage: ['master'], keys: { [`ed25519:${key}`]: key } },
    });
    const upload = (keys: object) => matrix().call(session, 'post', '/keys/device_signing/upload').send(keys);
    await upload(keysOf('A'.repeat(43))).expect(200);
    const { body } = await upload(keysOf('B'.repeat(42) + 'A')).expect(401);
    expect(body.flows).toEqual([{ stages: ['m.oauth'] }, { stages: ['org.matrix.cross_signing_reset'] }]);
    const page = await visitor.get('/account?action=org.matrix.cross_signing_reset');
    await visitor.submit(page, {}, { action: '/account/reset' });
    await upload(keysOf('B'.repeat(42) + 'A')).expect(200);
    await upload(keysOf('C'.repeat(42) + 'A')).expect(401);
  });

  it('is found by what the proxy passes, and by nothing else', async () => {
    const { http } = outside();
    for (const path of [
      '/_matrix/client/v1/auth_metadata',
      '/.well-known/openid-configuration',
      '/account/login',
    ])
      expect([path, (await http.get(path)).status]).toEqual([path, 200]);
    expect((await http.get('/_matrix/static/client/login/')).text).toContain('<form');
    expect((await http.post('/oauth2/introspect').type('form').send({ token: 'x' })).status).toBe(404);
  });
});

describe('An outage', () => {
  it('of Synapse costs nobody an authorization code', async () => {
    const { userId } = await matrix().register();
    const client = await OAuthClient.register(outside());
    const visitor = new Visitor(outside());
    await visitor.signIn(userId, PASSWORD);
    const { verifier, challenge } = newPkce();
    const code = (await client.authorize(visitor, challenge, { scope: scopeOf(newDeviceId()) })).get('code')!;
    pair().relay.become('hanging');
    const { body } = await client.exchange(code, verifier).expect(503);
    expect(body).toMatchObject({ error: 'temporarily_unavailable' });
    pair().relay.become('well');
    await vi.waitFor(() => client.exchange(code, verifier).expect(200), { timeout: 30_000, interval: 1_000 });
  }, 60_000);

  it('of the service is told in the words of OAuth 2.0, because clients sign out on those of Matrix', async () => {
    const { http } = outside();
    await pair().app.nest.close();
    const { body } = await http.post('/oauth2/token').type('form').send({ grant_type: 'x' }).expect(503);
    expect(body).toEqual({ error: 'temporarily_unavailable', error_description: expect.any(String) });
    const { body: other } = await http.get(`${V3}/account/whoami`).expect(503);
    expect(other.errcode).toBe('M_UNKNOWN');
  });
});
