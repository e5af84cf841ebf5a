import { beforeAll, describe, expect, it } from 'vitest';
import { type ClientSession, PASSWORD, someKeys } from '../../src/testing/matrix-client.js';
import {
  CLIENT,
  oauthError,
  lockAccount,
  newDeviceId,
  OAUTH_VARIABLES,
  OAuthClient,
  type OAuthTokens,
  scopeOf,
  statusOf,
} from '../support/oauth.js';
import { census, useApp } from '../support/test-app.js';

const app = useApp({ variables: OAUTH_VARIABLES });
/** Longer than `REFRESH_REPLAY_GRACE`. */
const GRACE_MS = 61_000;

let client: OAuthClient;
let other: OAuthClient;
beforeAll(async () => {
  client = await OAuthClient.register(app());
  other = await OAuthClient.register(app(), { ...CLIENT, client_name: 'Other App' });
});

interface Session extends OAuthTokens {
  readonly userId: string;
  readonly deviceId: string;
  /** A session of the same user by the legacy API. */
  readonly legacy: ClientSession;
}

async function newSession(): Promise<Session> {
  const legacy = await app().matrix.register({ refresh_token: true });
  const deviceId = newDeviceId();
  const tokens = await client.signIn(legacy.userId, deviceId);
  return { ...tokens, userId: legacy.userId, deviceId, legacy };
}

async function refreshed(token: string, fields?: Record<string, string>): Promise<OAuthTokens> {
  return (await client.refresh(token, fields).expect(200)).body;
}

async function endings({ userId, deviceId }: Session): Promise<string[]> {
  const rows = await app().sql<{ reason: string }>(
    "SELECT reason FROM audit_entries WHERE user_id = $1 AND device_id = $2 AND action = 'session_ended'",
    [userId, deviceId],
  );
  return rows.map(({ reason }) => reason);
}

describe('A refresh', () => {
  it('gives a new pair of tokens, and the same device and scope', async () => {
    const session = await newSession();
    const next = await refreshed(session.refresh_token);
    expect(next).toEqual({
      access_token: expect.stringMatching(/^mxa_/),
      refresh_token: expect.stringMatching(/^mxr_/),
      token_type: 'Bearer',
      expires_in: 900,
      scope: session.scope,
    });
    expect(next.access_token).not.toBe(session.access_token);
    expect(next.refresh_token).not.toBe(session.refresh_token);
    const { body } = await app().matrix.whoami({ ...session.legacy, accessToken: next.access_token });
    expect(body['device_id']).toBe(session.deviceId);
    const { headers } = await client.refresh(next.refresh_token).expect(200);
    expect(headers).toMatchObject({ 'cache-control': 'no-store', pragma: 'no-cache' });
  });

  it('may be asked for again while its answer may have been lost', async () => {
    const session = await newSession();
    await refreshed(session.refresh_token);
    app().clock.advance(GRACE_MS);
    const again = await refreshed(session.refresh_token);
    expect(await statusOf(app(), again.access_token)).toBe(200);
    app().clock.advance(1_000);
    oauthError.expect(await client.refresh(session.refresh_token), 400, 'invalid_grant');
    // Two tabs may do that, so nothing has ended.
    expect(await statusOf(app(), again.access_token)).toBe(200);
  });

  it('with a token that was spent long ago ends the session, and keeps the device and its keys', async () => {
    const session = await newSession();
    const next = await refreshed(session.refresh_token);
    const device = { ...session, accessToken: next.access_token };
    await app().matrix.uploadKeys(device, someKeys(device)).expect(200);
    app().clock.advance(GRACE_MS);
    oauthError.expect(await client.refresh(session.refresh_token), 400, 'invalid_grant');
    const { status, body } = await app().matrix.whoami(device);
    expect({ status, body }).toMatchObject({
      status: 401,
      body: { errcode: 'M_UNKNOWN_TOKEN', soft_logout: true },
    });
    oauthError.expect(await client.refresh(next.refresh_token), 400, 'invalid_grant');
    expect(await census(app(), session.userId, session.deviceId)).toMatchObject({
      devices: 1,
      device_keys: 1,
    });
    expect(await endings(session)).toEqual(['refresh_replay']);
    expect(await statusOf(app(), session.legacy.accessToken)).toBe(200);
  });

  it('works after the access token has expired', async () => {
    const session = await newSession();
    app().clock.advance(24 * 60 * 60_000);
    expect(await statusOf(app(), session.access_token)).toBe(401);
    const next = await refreshed(session.refresh_token);
    expect(await statusOf(app(), next.access_token)).toBe(200);
  });

  it('of many at once gives each a pair that belongs to one session', async () => {
    const session = await newSession();
    const answers = await Promise.all(Array.from({ length: 8 }, () => client.refresh(session.refresh_token)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(await census(app(), session.userId, session.deviceId)).toMatchObject({
      devices: 1,
      refresh_tokens: 1,
    });
    const statuses = await Promise.all(answers.map(({ body }) => statusOf(app(), body.access_token)));
    expect(statuses).toContain(200);
  });
});

describe('The scope of a refresh', () => {
  it.each<[string, (scope: string) => string]>([
    ['the same', (scope) => scope],
    ['in another order', (scope) => scope.split(' ').toReversed().join(' ')],
    ['smaller', (scope) => scope.split(' ')[0]!],
    ['with openid', (scope) => `openid ${scope}`],
    ['empty', () => ''],
  ])('may be %s', async (_, scopeFor) => {
    const session = await newSession();
    const next = await refreshed(session.refresh_token, { scope: scopeFor(session.scope) });
    expect(await statusOf(app(), next.access_token)).toBe(200);
  });

  it.each<[string, (scope: string) => string]>([
    ['more', (scope) => `${scope} email`],
    ['another device', () => scopeOf(newDeviceId())],
    ['the other spelling', (scope) => scope.replaceAll('urn:matrix:', 'urn:matrix:org.matrix.msc2967.')],
    ['an administrator', (scope) => `${scope} urn:synapse:admin:*`],
  ])('may not be %s, and the token stays good', async (_, scopeFor) => {
    const session = await newSession();
    oauthError.expect(
      await client.refresh(session.refresh_token, { scope: scopeFor(session.scope) }),
      400,
      'invalid_scope',
    );
    expect(await statusOf(app(), session.access_token)).toBe(200);
    await refreshed(session.refresh_token);
  });
});

describe('A refresh token of somebody else', () => {
  it('of another client is refused, and nothing happens to the session, however often', async () => {
    const session = await newSession();
    const next = await refreshed(session.refresh_token);
    expect(await statusOf(app(), next.access_token)).toBe(200);
    app().clock.advance(GRACE_MS);
    // By its own client, the first one would be a replay now.
    for (const token of [session.refresh_token, next.refresh_token])
      oauthError.expect(await other.refresh(token), 400, 'invalid_grant');
    expect(await statusOf(app(), next.access_token)).toBe(200);
    await refreshed(next.refresh_token);
    expect(await endings(session)).toEqual([]);
  });

  it('of the legacy API is refused, and nothing happens to the session', async () => {
    const { legacy } = await newSession();
    const { body: next } = await app().matrix.refresh(legacy.refreshToken!).expect(200);
    expect(await statusOf(app(), next.access_token)).toBe(200);
    app().clock.advance(GRACE_MS);
    for (const token of [legacy.refreshToken!, next.refresh_token])
      oauthError.expect(await client.refresh(token), 400, 'invalid_grant');
    expect(await statusOf(app(), next.access_token)).toBe(200);
    await app().matrix.refresh(next.refresh_token).expect(200);
  });

  it('of OAuth is refused by the legacy API, and nothing happens to the session', async () => {
    const session = await newSession();
    const next = await refreshed(session.refresh_token);
    expect(await statusOf(app(), next.access_token)).toBe(200);
    app().clock.advance(GRACE_MS);
    for (const token of [session.refresh_token, next.refresh_token]) {
      const { body } = await app().matrix.refresh(token).expect(401);
      expect(body).toMatchObject({ errcode: 'M_UNKNOWN_TOKEN', soft_logout: true });
    }
    expect(await statusOf(app(), next.access_token)).toBe(200);
    await refreshed(next.refresh_token);
    expect(await endings(session)).toEqual([]);
  });

  it('of a session that a later login has replaced is refused', async () => {
    const session = await newSession();
    const later = await client.signIn(session.userId, session.deviceId);
    oauthError.expect(await client.refresh(session.refresh_token), 400, 'invalid_grant');
    expect(await statusOf(app(), later.access_token)).toBe(200);
    await refreshed(later.refresh_token);
  });

  it('of OAuth is refused by the legacy API after a device is gone, without soft_logout', async () => {
    const session = await newSession();
    await client.revoke(session.refresh_token).expect(200);
    const { body } = await app().matrix.refresh(session.refresh_token).expect(401);
    expect(body['soft_logout'] ?? false).toBe(false);
    oauthError.expect(await client.refresh(session.refresh_token), 400, 'invalid_grant');
  });

  it('that is none is refused', async () => {
    const session = await newSession();
    for (const token of [
      session.access_token,
      'mxr_',
      `${session.refresh_token}x`,
      '\u00E9',
      'x'.repeat(10_000),
    ])
      oauthError.expect(await client.refresh(token), 400, 'invalid_grant');
    expect(await statusOf(app(), session.access_token)).toBe(200);
  });
});

describe('A refresh by a user', () => {
  it('who is locked costs no session: the new token is good when the lock is gone', async () => {
    const session = await newSession();
    await lockAccount(app(), session.userId);
    const next = await refreshed(session.refresh_token);
    const device = { ...session, accessToken: next.access_token };
    expect(await app().matrix.whoami(device)).toMatchObject({
      status: 401,
      body: { errcode: 'M_USER_LOCKED', soft_logout: true },
    });
    const later = await refreshed(next.refresh_token);
    await lockAccount(app(), session.userId, false);
    expect(await statusOf(app(), later.access_token)).toBe(200);
    await refreshed(later.refresh_token);
  });

  it('who is deactivated is refused', async () => {
    const session = await newSession();
    await app()
      .matrix.call(session.legacy, 'post', '/account/deactivate')
      .send({ auth: { type: 'm.login.password', user: session.userId, password: PASSWORD } })
      .expect(200);
    oauthError.expect(await client.refresh(session.refresh_token), 400, 'invalid_grant');
  });

  it('who is locked is refused by the legacy API, as before', async () => {
    const { legacy, userId } = await newSession();
    await lockAccount(app(), userId);
    const { body } = await app().matrix.refresh(legacy.refreshToken!).expect(401);
    expect(body).toMatchObject({ errcode: 'M_USER_LOCKED', soft_logout: true });
  });
});
