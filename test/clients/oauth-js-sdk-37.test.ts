import {
  completeAuthorizationCodeGrant,
  createClient,
  generateAuthorizationParams,
  generateAuthorizationUrl,
  generateOidcAuthorizationUrl,
  HttpApiEvent,
  type OidcClientConfig,
  OidcTokenRefresher,
  registerOidcClient,
  TokenRefreshLogoutError,
  validateAuthMetadata,
} from 'matrix-js-sdk';
import { logger as rootLogger } from 'matrix-js-sdk/lib/logger.js';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { REDIRECT_URI } from '../support/oauth.js';
import { census, NOTHING } from '../support/test-app.js';
import { CryptoClient } from './crypto-client.js';
import { decide, logger, type Reachable, silence, startReachable } from './oauth-support.js';

const ACCESS_TOKEN_TTL_MS = 15 * 60_000;

let service: Reachable;
beforeAll(async () => {
  silence(rootLogger);
  service = await startReachable();
});
afterAll(() => service?.app.stop());

/** What the SDK needs of a browser. */
function stubWindow(): void {
  const kept = new Map<string, string>();
  const sessionStorage = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
    key: (index: number) => [...kept.keys()][index] ?? null,
    get length() {
      return kept.size;
    },
  };
  vi.stubGlobal('window', { sessionStorage, location: { origin: new URL(REDIRECT_URI).origin } });
}
afterEach(() => {
  vi.unstubAllGlobals();
});

async function metadata(): Promise<OidcClientConfig> {
  const answer = await fetch(`${service.baseUrl}/_matrix/client/unstable/org.matrix.msc2965/auth_metadata`);
  return { ...validateAuthMetadata(await answer.json()), signingKeys: null };
}

/** Registers with fields of OpenID Connect, which must do no harm. */
async function clientId(): Promise<string> {
  return registerOidcClient(await metadata(), {
    clientName: 'Older App',
    clientUri: 'https://app.example.net/',
    redirectUris: [REDIRECT_URI],
    applicationType: 'web',
    contacts: ['app@example.net'],
    tosUri: 'https://app.example.net/terms',
    policyUri: 'https://elsewhere.example.org/policy',
  });
}

/** A request to an endpoint, for what this SDK cannot do itself. */
async function post(path: string, fields: Record<string, string>) {
  const answer = await fetch(service.baseUrl + path, { method: 'POST', body: new URLSearchParams(fields) });
  return { status: answer.status, body: (await answer.json()) as Record<string, string> };
}

const register = () => service.app.matrix.register();

// Versions before 41.4 are clients of OpenID Connect, which the Matrix specification does not ask for.
describe('matrix-js-sdk 37', () => {
  it('misses the signing keys in the metadata', async () => {
    const client = createClient({ baseUrl: service.baseUrl, logger });
    await expect(client.getAuthMetadata()).rejects.toThrow('jwks_uri');
    stubWindow();
    const claims = { iss: service.baseUrl, sub: '@a:b', aud: 'app', exp: 0, iat: 0 };
    const refresher = new OidcTokenRefresher(service.baseUrl, 'app', REDIRECT_URI, 'DEVICEDEVICE', claims);
    await expect(refresher.oidcClientReady).rejects.toThrow('Failed to initialise OIDC client.');
  });

  it('comes to its code, but then misses an ID token', async () => {
    stubWindow();
    const { userId } = await register();
    const url = await generateOidcAuthorizationUrl({
      metadata: await metadata(),
      clientId: await clientId(),
      redirectUri: REDIRECT_URI,
      homeserverUrl: service.baseUrl,
      nonce: 'nonce',
      urlState: 'more',
    });
    const { searchParams } = await decide(service.app, url, userId);
    expect(searchParams.get('state')).toBe(new URL(url).searchParams.get('state'));
    const completed = completeAuthorizationCodeGrant(searchParams.get('code')!, searchParams.get('state')!);
    await expect(completed).rejects.toThrow('Invalid ID token');
    // The service cannot know that: the session has begun, and nobody uses it.
    expect(await census(service.app, userId)).toMatchObject({ devices: 2 });
  });

  it('signs in, refreshes, and signs out, if the app asks for tokens itself', async () => {
    const { userId } = await register();
    const client_id = await clientId();
    const params = generateAuthorizationParams({ redirectUri: REDIRECT_URI });
    const url = await generateAuthorizationUrl((await metadata()).authorization_endpoint, client_id, params);
    const { searchParams } = await decide(service.app, url, userId);
    expect(searchParams.get('state')).toBe(params.state);
    const exchanged = await post('/oauth2/token', {
      grant_type: 'authorization_code',
      client_id,
      code: searchParams.get('code')!,
      code_verifier: params.codeVerifier,
      redirect_uri: params.redirectUri,
    });
    expect(exchanged).toMatchObject({ status: 200, body: { scope: params.scope.replace('openid ', '') } });
    const deviceId = params.scope.split(':').at(-1)!;
    const { access_token: accessToken, refresh_token: refreshToken } = exchanged.body;

    let isSignedOut = false;
    const matrix = createClient({
      baseUrl: service.baseUrl,
      logger,
      userId,
      deviceId,
      accessToken: accessToken!,
      refreshToken: refreshToken!,
      tokenRefreshFunction: async (refresh_token) => {
        const refreshed = await post('/oauth2/token', {
          grant_type: 'refresh_token',
          client_id,
          refresh_token,
        });
        if (refreshed.body['error'] === 'invalid_grant') throw new TokenRefreshLogoutError();
        return {
          accessToken: refreshed.body['access_token']!,
          refreshToken: refreshed.body['refresh_token']!,
        };
      },
    });
    matrix.on(HttpApiEvent.SessionLoggedOut, () => (isSignedOut = true));
    await CryptoClient.start(service.app, { userId, deviceId, accessToken: accessToken! });
    expect(await matrix.whoami()).toMatchObject({ user_id: userId, device_id: deviceId });
    service.app.clock.advance(ACCESS_TOKEN_TTL_MS);
    expect(await matrix.whoami()).toMatchObject({ user_id: userId, device_id: deviceId });
    expect(matrix.getAccessToken()).not.toBe(accessToken);

    const tokens = [matrix.getAccessToken()!, matrix.getRefreshToken()!];
    expect(await census(service.app, userId, deviceId)).toMatchObject({ devices: 1, device_keys: 1 });
    const revoked = await Promise.all(tokens.map((token) => post('/oauth2/revoke', { token, client_id })));
    expect(revoked.map(({ status }) => status)).toEqual([200, 200]);
    expect(await census(service.app, userId, deviceId)).toEqual(NOTHING);
    await expect(matrix.whoami()).rejects.toMatchObject({ errcode: 'M_UNKNOWN_TOKEN' });
    expect(isSignedOut).toBe(true);
  });
});
