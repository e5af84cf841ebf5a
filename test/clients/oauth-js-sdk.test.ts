import {
  AuthType,
  createClient,
  type IAuthData,
  HttpApiEvent,
  type ICreateClientOpts,
  isValidAuthMetadata,
  type MatrixError,
  OAuth2,
  type OAuthRegistrationRequest,
  type ValidatedAuthMetadata,
} from 'matrix-js-sdk-43/lib/matrix.js';
import { logger as rootLogger } from 'matrix-js-sdk-43/lib/logger.js';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { RefreshService } from '../../src/session/refresh/refresh.service.js';
import { Unavailable } from '../../src/system/outage.js';
import { PASSWORD, uniqueUsername } from '../../src/testing/matrix-client.js';
import { newDeviceId, REDIRECT_URI } from '../support/oauth.js';
import { census, NOTHING, type TestApp } from '../support/test-app.js';
import { Visitor } from '../support/visitor.js';
import { CryptoClient } from './crypto-client.js';
import { decide, logger, pathOf, type Reachable, silence, startReachable } from './oauth-support.js';

const BOSS = uniqueUsername();
const ACCESS_TOKEN_TTL_MS = 15 * 60_000;

const APP: OAuthRegistrationRequest = {
  client_name: 'Example App',
  client_uri: 'https://app.example.net/',
  redirect_uris: [REDIRECT_URI],
};

let service: Reachable;
const app = (): TestApp => service.app;
beforeAll(async () => {
  silence(rootLogger);
  service = await startReachable({ SERVER_ADMINS: `@${BOSS}:localhost` });
  await app().createUser(BOSS);
});
afterAll(() => service?.app.stop());

/** What the SDK has asked for, and the answers: `POST /oauth2/token 200`. */
let asked: string[] = [];
beforeEach(() => {
  asked = [];
  const real = globalThis.fetch;
  vi.spyOn(globalThis, 'fetch').mockImplementation(async (url, options) => {
    const answer = await real(url, options);
    const { pathname } = new URL(url instanceof Request ? url.url : url);
    asked.push(`${options?.method ?? 'GET'} ${pathname} ${answer.status}`);
    return answer;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});

const REFRESHED = 'POST /oauth2/token 200';
const ASKED_WHO = 'GET /_matrix/client/v3/account/whoami';

const client = (options: Partial<ICreateClientOpts> = {}, { baseUrl } = service) =>
  createClient({ baseUrl, logger, ...options });

/** An app at the service: what the SDK keeps while somebody signs in. */
async function anApp(deviceId = newDeviceId(), at = service): Promise<OAuth2> {
  const metadata = await client({}, at).getAuthMetadata();
  const clientId = await OAuth2.registerClient(metadata, APP, logger);
  return new OAuth2(metadata, { clientId, deviceId }, logger);
}

/** The code in the fragment that the browser takes to the app. */
const codeIn = ({ hash }: URL) => new URLSearchParams(hash.slice(1)).get('code')!;

/** Signs a user in by a code, and returns what the app keeps of that. */
async function signIn(userId: string) {
  const deviceId = newDeviceId();
  const oauth = await anApp(deviceId);
  const url = await oauth.generateAuthorizationCodeGrantUrl('state-1', REDIRECT_URI);
  const code = codeIn(await decide(app(), url, userId));
  const tokens = await oauth.completeAuthorizationCodeGrant(code, REDIRECT_URI);
  return { oauth, tokens, session: { userId, deviceId, accessToken: tokens.access_token } };
}

type SignedIn = Awaited<ReturnType<typeof signIn>>;

/** A client on these tokens, as apps make it, with what happens to it. */
function clientOf({ oauth, tokens, session }: SignedIn, options: Partial<ICreateClientOpts> = {}) {
  const events = { refreshed: [] as string[], isSignedOut: false };
  const matrix = client({
    userId: session.userId,
    deviceId: session.deviceId,
    accessToken: tokens.access_token,
    ...(tokens.refresh_token === undefined ? {} : { refreshToken: tokens.refresh_token }),
    oauthClientId: oauth.context.clientId,
    onTokenRefresh: ({ accessToken }) => void events.refreshed.push(accessToken),
    ...options,
  });
  matrix.on(HttpApiEvent.SessionLoggedOut, () => (events.isSignedOut = true));
  return { matrix, events };
}

async function signedIn(userId: string) {
  const kept = await signIn(userId);
  return { ...kept, ...clientOf(kept) };
}

/** Returns the error of a call that must fail. */
async function failure(call: Promise<unknown>): Promise<MatrixError> {
  return call.then(
    () => expect.fail('the call succeeded'),
    (error: unknown) => error as MatrixError,
  );
}

const register = () => app().matrix.register();

describe('matrix-js-sdk 43', () => {
  describe('before anybody signs in', () => {
    it('accepts the metadata, which need everything that they must have', async () => {
      const metadata = await client().getAuthMetadata();
      expect(metadata).toMatchObject({
        issuer: `${service.baseUrl}/`,
        device_authorization_endpoint: `${service.baseUrl}/oauth2/device`,
        prompt_values_supported: ['create'],
      });
      const needed = Object.keys(metadata).filter((name) => {
        const { [name as keyof ValidatedAuthMetadata]: _, ...rest } = metadata;
        return !isValidAuthMetadata(rest);
      });
      expect(needed.toSorted()).toEqual([
        'authorization_endpoint',
        'code_challenge_methods_supported',
        'grant_types_supported',
        'issuer',
        'registration_endpoint',
        'response_modes_supported',
        'response_types_supported',
        'revocation_endpoint',
        'token_endpoint',
      ]);
    });

    it('registers, and gets the same client again for the same metadata', async () => {
      const metadata = await client().getAuthMetadata();
      const all = { ...APP, logo_uri: 'https://app.example.net/logo.png', 'client_name#de': 'Beispiel' };
      const first = await OAuth2.registerClient(metadata, all, logger);
      expect(await OAuth2.registerClient(metadata, all, logger)).toBe(first);
      expect(await OAuth2.registerClient(metadata, APP, logger)).not.toBe(first);
    });

    it('is refused with a redirect URI of somebody else', async () => {
      const metadata = await client().getAuthMetadata();
      const foreign = { ...APP, redirect_uris: ['https://evil.example.org/'] } as OAuthRegistrationRequest;
      expect(await failure(OAuth2.registerClient(metadata, foreign, logger))).toMatchObject({
        message: 'Dynamic registration failed',
      });
      expect(asked.at(-1)).toBe('POST /oauth2/clients 400');
    });
  });

  describe('signing in by a code', () => {
    it('gets the code in the fragment, and tokens that its client can use', async () => {
      const { userId } = await register();
      const deviceId = newDeviceId();
      const oauth = await anApp(deviceId);
      const url = await oauth.generateAuthorizationCodeGrantUrl('state & more', REDIRECT_URI);
      const back = await decide(app(), url, userId);
      expect(`${back.origin}${back.pathname}${back.search}`).toBe(REDIRECT_URI);
      const { code, ...rest } = Object.fromEntries(new URLSearchParams(back.hash.slice(1)));
      expect(rest).toEqual({ state: 'state & more' });
      expect(await census(app(), userId, deviceId)).toEqual(NOTHING);

      const tokens = await oauth.completeAuthorizationCodeGrant(code!, REDIRECT_URI);
      expect(tokens).toEqual({
        access_token: expect.stringMatching(/^mxa_/),
        refresh_token: expect.stringMatching(/^mxr_/),
        token_type: 'Bearer',
        expires_in: ACCESS_TOKEN_TTL_MS / 1_000,
        scope: `urn:matrix:client:api:* urn:matrix:client:device:${deviceId}`,
      });
      const session = { userId, deviceId, accessToken: tokens.access_token };
      const { matrix } = clientOf({ oauth, tokens, session });
      expect(await matrix.whoami()).toEqual({ user_id: userId, device_id: deviceId, is_guest: false });
      expect(await matrix.getDevice(deviceId)).toMatchObject({ display_name: 'Example App' });
    });

    it('gets the code in the query, if it wants that, with the device ID that it makes itself', async () => {
      const { userId } = await register();
      const metadata = await client().getAuthMetadata();
      const clientId = await OAuth2.registerClient(metadata, APP, logger);
      const oauth = new OAuth2(metadata, { clientId }, logger);
      const { deviceId } = oauth.context;
      const url = await oauth.generateAuthorizationCodeGrantUrl('state-2', REDIRECT_URI, 'query');
      const { searchParams, hash } = await decide(app(), url, userId);
      expect([searchParams.get('state'), hash]).toEqual(['state-2', '']);
      const tokens = await oauth.completeAuthorizationCodeGrant(searchParams.get('code')!, REDIRECT_URI);
      const session = { userId, deviceId, accessToken: tokens.access_token };
      expect(await clientOf({ oauth, tokens, session }).matrix.whoami()).toMatchObject({
        device_id: deviceId,
      });
    });

    it('learns that the user has refused', async () => {
      const { userId } = await register();
      const oauth = await anApp();
      const url = await oauth.generateAuthorizationCodeGrantUrl('state-3', REDIRECT_URI);
      const { hash } = await decide(app(), url, userId, 'refuse');
      expect(Object.fromEntries(new URLSearchParams(hash.slice(1)))).toMatchObject({
        error: 'access_denied',
        state: 'state-3',
      });
    });

    it('cannot use a code twice, or with the verifier of another sign-in', async () => {
      const { userId } = await register();
      const oauth = await anApp();
      const url = await oauth.generateAuthorizationCodeGrantUrl('state-4', REDIRECT_URI);
      const code = codeIn(await decide(app(), url, userId));
      const refused = { httpStatus: 400, error: 'invalid_grant' };
      const stranger = new OAuth2(oauth.metadata, { clientId: oauth.context.clientId }, logger);
      expect(await failure(stranger.completeAuthorizationCodeGrant(code, REDIRECT_URI))).toMatchObject(
        refused,
      );
      const { access_token } = await oauth.completeAuthorizationCodeGrant(code, REDIRECT_URI);
      expect(await failure(oauth.completeAuthorizationCodeGrant(code, REDIRECT_URI))).toMatchObject(refused);
      expect(await client({ accessToken: access_token }).whoami()).toMatchObject({ user_id: userId });
    });

    it('lets people register first, by prompt=create', async () => {
      const oauth = await anApp();
      const url = await oauth.generateAuthorizationCodeGrantUrl(
        'state-5',
        REDIRECT_URI,
        'fragment',
        'create',
      );
      const visitor = new Visitor(app());
      const first = await visitor.get(pathOf(url));
      expect(first.headers['location']).toMatch(/^\/account\/register\?/);
      const username = uniqueUsername();
      const consent = await visitor.follow(
        await visitor.submit(await visitor.follow(first), { username, password: PASSWORD }),
      );
      const answer = await visitor.submit(consent, { decision: 'allow' }, { action: '/oauth2/auth' });
      const code = codeIn(new URL(answer.headers['location']!));
      const tokens = await oauth.completeAuthorizationCodeGrant(code, REDIRECT_URI);
      expect(await client({ accessToken: tokens.access_token }).whoami()).toMatchObject({
        user_id: `@${username}:localhost`,
      });
    });
  });

  describe('signing in by a device code', () => {
    /** Decides on the page that a QR code of the SDK names. */
    async function decideOn(url: string, userId: string, decision: 'allow' | 'refuse') {
      const visitor = new Visitor(app());
      const page = await visitor.signIn(userId, PASSWORD, pathOf(url));
      const done = await visitor.submit(page, { decision }, { action: '/account/link' });
      expect(done.status).toBe(200);
    }

    it('waits for the user, and gets tokens, for the device ID of a QR login, too', async () => {
      const { userId } = await register();
      const deviceId = `${newDeviceId()}/Qm+x`;
      const oauth = await anApp(deviceId);
      const started = await oauth.startDeviceAuthorizationGrant();
      expect(started).toMatchObject({ interval: 5, verification_uri: `${service.baseUrl}/account/link` });
      const waiting = oauth.waitForDeviceAuthorizationGrant({ ...started, interval: 0.1 });
      await vi.waitFor(() => expect(asked.at(-1)).toBe('POST /oauth2/token 400'));
      // Otherwise a second question would be too early, and the SDK would wait for 5 seconds more.
      app().clock.advance(5_000);
      await decideOn(started.verification_uri_complete!, userId, 'allow');
      const tokens = await waiting;
      expect(tokens).toMatchObject({ refresh_token: expect.stringMatching(/^mxr_/), token_type: 'Bearer' });
      const { access_token: accessToken } = tokens as { access_token: string };
      expect(await client({ accessToken }).whoami()).toMatchObject({ user_id: userId, device_id: deviceId });
    });

    it('learns that the user has refused, or has not come in time', async () => {
      const { userId } = await register();
      const oauth = await anApp();
      const started = await oauth.startDeviceAuthorizationGrant();
      await decideOn(started.verification_uri_complete!, userId, 'refuse');
      expect(await oauth.waitForDeviceAuthorizationGrant(started)).toMatchObject({ error: 'access_denied' });
      const late = await oauth.startDeviceAuthorizationGrant();
      app().clock.advance(20 * 60_000);
      expect(await oauth.waitForDeviceAuthorizationGrant(late)).toMatchObject({ error: 'expired_token' });
    });
  });

  describe('refreshing', () => {
    it('refreshes once, for all requests that wait, when the access token has expired', async () => {
      const alice = await register();
      const { matrix, events, tokens } = await signedIn(alice.userId);
      await matrix.whoami();
      expect(events.refreshed).toEqual([]);
      app().clock.advance(ACCESS_TOKEN_TTL_MS);
      const answers = await Promise.all([matrix.whoami(), matrix.whoami(), matrix.getDevices()]);
      expect(answers[1]).toMatchObject({ user_id: alice.userId });
      expect(events).toEqual({ refreshed: [matrix.getAccessToken()], isSignedOut: false });
      expect(matrix.getAccessToken()).not.toBe(tokens.access_token);
      expect(asked.filter((one) => one.includes('token'))).toEqual([REFRESHED, REFRESHED]);
    });

    it('refreshes before the token that it was told about expires, again and again', async () => {
      const alice = await register();
      const { matrix, events } = await signedIn(alice.userId);
      app().clock.advance(ACCESS_TOKEN_TTL_MS);
      await matrix.whoami();
      vi.useFakeTimers({ toFake: ['Date'] });
      try {
        for (let round = 0; round < 3; round += 1) {
          asked = [];
          vi.setSystemTime(Date.now() + ACCESS_TOKEN_TTL_MS - 400);
          await matrix.whoami();
          await matrix.whoami();
          expect(asked).toEqual([REFRESHED, `${ASKED_WHO} 200`, `${ASKED_WHO} 200`]);
        }
      } finally {
        vi.useRealTimers();
      }
      expect(events.refreshed).toHaveLength(4);
      expect(events.isSignedOut).toBe(false);
    });

    it('goes on with the old refresh token when the answer to a refresh was lost', async () => {
      const alice = await register();
      const { matrix, events, oauth, tokens } = await signedIn(alice.userId);
      app().clock.advance(ACCESS_TOKEN_TTL_MS);
      await oauth.performRefreshTokenGrant(tokens.refresh_token!);
      expect(await matrix.whoami()).toMatchObject({ user_id: alice.userId });
      expect(events).toMatchObject({ refreshed: [expect.any(String)], isSignedOut: false });
    });

    it('signs the user out when the session has ended elsewhere', async () => {
      const alice = await register();
      const { matrix, events } = await signedIn(alice.userId);
      await app().matrix.call(alice, 'post', '/logout/all').send({}).expect(200);
      expect(await failure(matrix.whoami())).toMatchObject({ errcode: 'M_UNKNOWN_TOKEN' });
      expect(asked.at(-1)).toBe('POST /oauth2/token 400');
      expect(events).toEqual({ refreshed: [], isSignedOut: true });
    });

    it('keeps the user signed in while the service fails, or is down for a moment', async () => {
      const alice = await register();
      const { matrix, events } = await signedIn(alice.userId);
      app().clock.advance(ACCESS_TOKEN_TTL_MS);
      const crash = app().fail(RefreshService, 'rotateFor', { times: 1 });
      expect(await failure(matrix.whoami())).toMatchObject({ name: 'TokenRefreshError' });
      expect([crash.calls, asked.at(-1)]).toEqual([1, 'POST /oauth2/token 500']);
      const outage = app().fail(RefreshService, 'rotateFor', {
        error: new Unavailable('The database is away'),
        times: 1,
      });
      expect(await failure(matrix.whoami())).toMatchObject({ name: 'TokenRefreshError' });
      expect([outage.calls, asked.at(-1)]).toEqual([1, 'POST /oauth2/token 503']);
      expect(await matrix.whoami()).toMatchObject({ user_id: alice.userId });
      expect(events).toMatchObject({ refreshed: [expect.any(String)], isSignedOut: false });
    });
  });

  it('keeps a user signed in who is locked for a while', async () => {
    const alice = await register();
    const { matrix, events } = await signedIn(alice.userId);
    const boss = await app().matrix.login(BOSS);
    const lock = (locked: boolean) =>
      app()
        .http.put(`/_matrix/client/v1/admin/lock/${encodeURIComponent(alice.userId)}`)
        .set('Authorization', `Bearer ${boss.accessToken}`)
        .send({ locked })
        .expect(200);
    await lock(true);
    app().clock.advance(ACCESS_TOKEN_TTL_MS);
    expect(await failure(matrix.whoami())).toMatchObject({ errcode: 'M_USER_LOCKED' });
    await lock(false);
    expect(await matrix.whoami()).toMatchObject({ user_id: alice.userId });
    expect(events.isSignedOut).toBe(false);
  });

  describe('cross-signing', () => {
    // The only thing that the SDK uses here and Node 20 has not.
    const promises = Promise as { withResolvers?: () => object };
    const isOld = promises.withResolvers === undefined;
    beforeAll(() => {
      promises.withResolvers ??= () => {
        const parts = {};
        const promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
        return Object.assign(parts, { promise });
      };
    });
    afterAll(() => {
      if (isOld) delete promises.withResolvers;
    });

    /** A client with the SDK's own encryption. */
    async function withCrypto(userId: string) {
      const kept = await signIn(userId);
      const { matrix } = clientOf(kept, {
        // Secret storage is elsewhere, and empty.
        fetchFn: async (url, options) =>
          new URL(url).pathname.includes('/account_data/')
            ? Response.json({ errcode: 'M_NOT_FOUND', error: 'None' }, { status: 404 })
            : fetch(url, options),
      });
      await matrix.initRustCrypto({ useIndexedDB: false });
      return { matrix, ...kept };
    }

    it('uploads first keys at once, and others when the user has agreed on the account page', async () => {
      const { userId } = await register();
      const { matrix, session } = await withCrypto(userId);
      const crypto = matrix.getCrypto()!;
      await crypto.bootstrapCrossSigning({
        authUploadDeviceSigningKeys: (send) => send(null),
      });
      const first = await crypto.getCrossSigningKeyId();
      expect(first).not.toBeNull();
      expect(await census(app(), userId, session.deviceId)).toMatchObject({ device_keys: 1 });

      const stages: string[] = [];
      await crypto.bootstrapCrossSigning({
        setupNewCrossSigning: true,
        authUploadDeviceSigningKeys: async (send) => {
          const challenge = (await failure(send(null))).data as IAuthData;
          stages.push(...challenge.flows!.flatMap((flow) => flow.stages));
          const { url } = challenge.params![AuthType.OAuth] as { url: string };
          const visitor = new Visitor(app());
          const page = await visitor.signIn(userId, PASSWORD, pathOf(url));
          await visitor.submit(page, {}, { action: '/account/reset' });
          await send({ type: AuthType.OAuth, session: challenge.session! });
        },
      });
      expect(stages).toContain('m.oauth');
      const second = await crypto.getCrossSigningKeyId();
      expect(second).not.toBe(first);
      const { master_keys, self_signing_keys, device_keys } = await matrix.downloadKeysForUsers([userId]);
      expect(Object.values(master_keys![userId]!.keys)).toEqual([second]);
      const { signatures } = device_keys[userId]![session.deviceId]!;
      const [selfSigningKey] = Object.keys(self_signing_keys![userId]!.keys);
      expect(signatures![userId]).toHaveProperty([selfSigningKey!]);
      matrix.stopClient();
    });
  });

  describe('signing out', () => {
    /** A client with a device and keys of every kind. */
    async function withKeys() {
      const alice = await register();
      const kept = await signedIn(alice.userId);
      await CryptoClient.start(app(), kept.session);
      const { userId, deviceId } = kept.session;
      expect(await census(app(), userId, deviceId)).toMatchObject({
        devices: 1,
        device_keys: 1,
        one_time_keys: 50,
      });
      return { alice, ...kept };
    }

    it('revokes both tokens at once, and then token, device and keys are gone', async () => {
      const { alice, matrix, session } = await withKeys();
      asked = [];
      expect(await matrix.logout(true)).toEqual({});
      const revoked = asked.filter((one) => one.startsWith('POST'));
      expect(revoked).toEqual(['POST /oauth2/revoke 200', 'POST /oauth2/revoke 200']);
      expect(await census(app(), session.userId, session.deviceId)).toEqual(NOTHING);
      expect((await app().matrix.whoami(session)).status).toBe(401);
      expect((await app().matrix.whoami(alice)).status).toBe(200);
    });

    it('does the same after a refresh, with an access token that has expired', async () => {
      const { matrix, session } = await withKeys();
      app().clock.advance(ACCESS_TOKEN_TTL_MS);
      await matrix.whoami();
      app().clock.advance(ACCESS_TOKEN_TTL_MS);
      expect(await matrix.logout()).toEqual({});
      expect(await census(app(), session.userId, session.deviceId)).toEqual(NOTHING);
    });

    it('does nothing the second time, and each of the tokens would do alone', async () => {
      const { matrix, oauth, tokens, session } = await withKeys();
      await oauth.revokeToken(tokens.refresh_token!, 'refresh_token');
      expect(await census(app(), session.userId, session.deviceId)).toEqual(NOTHING);
      expect(await matrix.logout()).toEqual({});
      const other = await withKeys();
      await other.oauth.revokeToken(other.tokens.access_token);
      expect(await census(app(), other.session.userId, other.session.deviceId)).toEqual(NOTHING);
    });
  });

  describe('with a limit, and registration closed', () => {
    let limited: Reachable;
    beforeAll(async () => {
      const limits = { RATE_LIMITS: 'on', RATE_LIMIT_OAUTH_CODES: '1/2s' };
      limited = await startReachable({ ...limits, REGISTRATION: 'closed' });
    });
    afterAll(() => limited?.app.stop());

    it('can exchange a code later when there were too many', async () => {
      const { userId } = await limited.app.createUser(uniqueUsername());
      const oauth = await anApp(newDeviceId(), limited);
      const exchanges = [1, 2].map(async () => {
        const url = await oauth.generateAuthorizationCodeGrantUrl('state', REDIRECT_URI);
        const code = codeIn(await decide(limited.app, url, userId));
        return () => oauth.completeAuthorizationCodeGrant(code, REDIRECT_URI);
      });
      const [first, second] = await Promise.all(exchanges);
      await first!();
      expect(await failure(second!())).toMatchObject({ httpStatus: 503, error: 'temporarily_unavailable' });
      const tokens = await vi.waitFor(second!, { timeout: 10_000, interval: 200 });
      expect(tokens).toMatchObject({ access_token: expect.stringMatching(/^mxa_/) });
    });

    it('is not told that people may register, and prompt=create leads to the sign-in page', async () => {
      const oauth = await anApp(newDeviceId(), limited);
      expect(oauth.metadata).not.toHaveProperty('prompt_values_supported');
      const url = await oauth.generateAuthorizationCodeGrantUrl('state', REDIRECT_URI, 'fragment', 'create');
      const { headers } = await new Visitor(limited.app).get(pathOf(url));
      expect(headers['location']).toMatch(/^\/account\/login\?/);
    });
  });
});
