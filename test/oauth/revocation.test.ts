import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { asItIs, type ClientSession, someKeys } from '../../src/testing/matrix-client.js';
import { FAMILY_BYTES, SECRET_BYTES, writeToken } from '../../src/session/token.rules.js';
import {
  CLIENT,
  oauthError,
  lockAccount,
  newDeviceId,
  OAUTH_VARIABLES,
  OAuthClient,
  type OAuthTokens,
  sendForm,
  statusOf,
} from '../support/oauth.js';
import { census, NOTHING, useApp } from '../support/test-app.js';

const app = useApp({ variables: OAUTH_VARIABLES });

let client: OAuthClient;
let other: OAuthClient;
beforeAll(async () => {
  client = await OAuthClient.register(app());
  other = await OAuthClient.register(app(), { ...CLIENT, client_name: 'Other App' });
});

interface Session extends OAuthTokens, ClientSession {
  /** A session of the same user by the legacy API. */
  readonly legacy: ClientSession;
}

async function newSession(): Promise<Session> {
  const legacy = await app().matrix.register({ refresh_token: true });
  const deviceId = newDeviceId();
  const tokens = await client.signIn(legacy.userId, deviceId);
  const session = { ...tokens, userId: legacy.userId, deviceId, accessToken: tokens.access_token, legacy };
  await app().matrix.uploadKeys(session, someKeys(session)).expect(200);
  return session;
}

async function endings({ userId, deviceId }: ClientSession): Promise<string[]> {
  const rows = await app().sql<{ reason: string }>(
    "SELECT reason FROM audit_entries WHERE user_id = $1 AND device_id = $2 AND action = 'session_ended'",
    [userId, deviceId],
  );
  return rows.map(({ reason }) => reason);
}

async function expectEnded(session: Session, reason = 'revoked'): Promise<void> {
  expect(await census(app(), session.userId, session.deviceId)).toEqual(NOTHING);
  expect(await endings(session)).toEqual([reason]);
  // The other session of the user stays.
  expect(await census(app(), session.userId, session.legacy.deviceId)).toMatchObject({
    devices: 1,
    access_tokens: 1,
  });
}

async function expectAlive(session: Session): Promise<void> {
  expect(await census(app(), session.userId, session.deviceId)).toMatchObject({ devices: 1, device_keys: 1 });
  expect(await endings(session)).toEqual([]);
}

describe('A revocation ends the session with its device and keys', () => {
  it.each<[string, (session: Session) => string | Promise<string>]>([
    ['its access token', ({ access_token }) => access_token],
    ['its refresh token', ({ refresh_token }) => refresh_token],
    [
      'an access token past its time',
      ({ access_token }) => {
        app().clock.advance(16 * 60_000);
        return access_token;
      },
    ],
    [
      'an access token that expired a day ago',
      ({ access_token }) => {
        app().clock.advance(25 * 60 * 60_000);
        return access_token;
      },
    ],
    [
      'an access token that a refresh has replaced',
      async ({ access_token, refresh_token }) => {
        const { body } = await client.refresh(refresh_token).expect(200);
        expect(await statusOf(app(), body.access_token)).toBe(200);
        return access_token;
      },
    ],
    [
      'a refresh token that is rotated away',
      async ({ refresh_token }) => {
        let token = refresh_token;
        for (let round = 0; round < 3; round += 1) {
          const { body } = await client.refresh(token).expect(200);
          expect(await statusOf(app(), body.access_token)).toBe(200);
          token = body.refresh_token;
        }
        return refresh_token;
      },
    ],
    [
      'a new refresh token that nobody has used',
      async ({ refresh_token }) => (await client.refresh(refresh_token).expect(200)).body.refresh_token,
    ],
  ])('by %s', async (_, tokenOf) => {
    const session = await newSession();
    const token = await tokenOf(session);
    const answer = await client.revoke(token).expect(200, {});
    expect(answer.headers).toMatchObject({
      'content-type': expect.stringMatching(/^application\/json/),
      'cache-control': 'no-store',
      'access-control-allow-origin': '*',
    });
    await expectEnded(session);
    expect(await statusOf(app(), session.access_token)).toBe(401);
    oauthError.expect(await client.refresh(session.refresh_token), 400, 'invalid_grant');
    await client.revoke(token).expect(200, {});
    await expectEnded(session);
  });

  it.each(['access_token', 'refresh_token', 'urn:unknown', ''])(
    'whatever the hint is: %j',
    async (token_type_hint) => {
      const session = await newSession();
      await client.revoke(session.refresh_token, { token_type_hint }).expect(200, {});
      await expectEnded(session);
    },
  );

  it('once, by both tokens at once, and each gets 200', async () => {
    for (let round = 0; round < 8; round += 1) {
      const session = await newSession();
      const both = [session.access_token, session.refresh_token];
      const answers = await Promise.all(
        (round % 2 === 0 ? both : both.toReversed()).map((token) => client.revoke(token)),
      );
      expect(answers.map(({ status, body }) => ({ status, body }))).toEqual([
        { status: 200, body: {} },
        { status: 200, body: {} },
      ]);
      await expectEnded(session);
    }
  });

  it('without a client_id, and by another client, as somebody else', async () => {
    const [without, by] = [await newSession(), await newSession()];
    const form = new URLSearchParams({ token: without.access_token }).toString();
    await sendForm(app(), '/oauth2/revoke', form).expect(200, {});
    await expectEnded(without, 'revoked_by_other');
    await other.revoke(by.refresh_token).expect(200, {});
    await expectEnded(by, 'revoked_by_other');
  });

  it('by a client that is not known, too', async () => {
    const session = await newSession();
    await client.revoke(session.refresh_token, { client_id: 'unknown' }).expect(200, {});
    await expectEnded(session, 'revoked_by_other');
  });

  it('of a locked user, and of a suspended one', async () => {
    const [locked, suspended] = [await newSession(), await newSession()];
    await lockAccount(app(), locked.userId);
    await app().sql('UPDATE accounts SET suspended_at = now() WHERE user_id = $1', [suspended.userId]);
    await client.revoke(locked.access_token).expect(200, {});
    await client.revoke(suspended.access_token).expect(200, {});
    await lockAccount(app(), locked.userId, false);
    await expectEnded(locked);
    await expectEnded(suspended);
  });

  it('that a replay has ended already, with the device that it kept', async () => {
    const session = await newSession();
    const { body } = await client.refresh(session.refresh_token).expect(200);
    expect(await statusOf(app(), body.access_token)).toBe(200);
    app().clock.advance(61_000);
    oauthError.expect(await client.refresh(session.refresh_token), 400, 'invalid_grant');
    await client.revoke(body.refresh_token).expect(200, {});
    expect(await census(app(), session.userId, session.deviceId)).toEqual(NOTHING);
  });

  it('and no other session of the user', async () => {
    const session = await newSession();
    const another = await client.signIn(session.userId);
    await client.revoke(session.access_token).expect(200, {});
    await expectEnded(session);
    expect(await statusOf(app(), another.access_token)).toBe(200);
  });

  it('as a logout does: POST /logout ends it, too', async () => {
    const session = await newSession();
    await app().matrix.logout(session).expect(200, {});
    await expectEnded(session, 'logout');
    await client.revoke(session.access_token).expect(200, {});
    await expectEnded(session, 'logout');
  });
});

describe('A revocation does nothing, and says 200,', () => {
  it.each<[string, string]>([
    ['garbage', 'garbage'],
    ['half a token', 'mxa_'],
    ['something like a token', 'mxr_x_y_z'],
    ['a blank', ' '],
    ['a letter beyond ASCII', '\u00E9'],
    ['SQL', "' OR 1=1 --"],
    ['a long text', 'x'.repeat(60_000)],
  ])('for %s', async (_, token) => {
    await client.revoke(token).expect(200, {});
  });

  it('for tokens that are well made, but were never issued', async () => {
    const session = await newSession();
    for (const kind of ['mxa', 'mxr'] as const)
      await client
        .revoke(writeToken(kind, session.userId, randomBytes(FAMILY_BYTES), randomBytes(SECRET_BYTES)))
        .expect(200, {});
    await expectAlive(session);
  });

  it('for tokens of the legacy API', async () => {
    const session = await newSession();
    const { legacy } = session;
    for (const token of [legacy.accessToken, legacy.refreshToken!]) {
      await client.revoke(token).expect(200, {});
      await sendForm(app(), '/oauth2/revoke', new URLSearchParams({ token }).toString()).expect(200, {});
    }
    expect(await statusOf(app(), legacy.accessToken)).toBe(200);
    await app().matrix.refresh(legacy.refreshToken!).expect(200);
    expect(await endings(legacy)).toEqual([]);
  });

  it.each(['OAuth', 'the legacy API'])('for a session that a later login by %s has replaced', async (api) => {
    const session = await newSession();
    const later =
      api === 'OAuth'
        ? (await client.signIn(session.userId, session.deviceId)).access_token
        : (await app().matrix.login(session.userId, { device_id: session.deviceId })).accessToken;
    for (const token of [session.access_token, session.refresh_token])
      await client.revoke(token).expect(200, {});
    expect(await statusOf(app(), later)).toBe(200);
    expect(await census(app(), session.userId, session.deviceId)).toMatchObject({
      devices: 1,
      access_tokens: 1,
      device_keys: 1,
    });
    expect(await endings(session)).toEqual(['replaced_by_login']);
  });
});

describe('A revocation is refused', () => {
  it('without a token', async () => {
    for (const body of ['', 'token=', `client_id=${client.clientId}`, 'token_type_hint=access_token'])
      oauthError.expect(await sendForm(app(), '/oauth2/revoke', body), 400, 'invalid_request');
  });

  it('as JSON, as plain text, and from the query', async () => {
    const session = await newSession();
    const { access_token: token } = session;
    const revoke = (query = '') => app().http.post(`/oauth2/revoke${query}`);
    oauthError.expect(await revoke().send({ token }), 400, 'invalid_request');
    oauthError.expect(
      await asItIs(revoke().type('text/plain')).send(`token=${token}`),
      400,
      'invalid_request',
    );
    oauthError.expect(await revoke(`?token=${token}`), 400, 'invalid_request');
    oauthError.expect(await revoke(`?token=${token}`).type('form').send({ x: 'y' }), 400, 'invalid_request');
    await expectAlive(session);
  });

  it('with a parameter twice, and with what is no text', async () => {
    const session = await newSession();
    const token = `token=${session.access_token}`;
    for (const body of [
      `${token}&${token}`,
      `${token}&client_id=a&client_id=b`,
      `${token}&x=%00`,
      `${token}&x=%ff`,
      Buffer.concat([Buffer.from(`${token}&x=`), Buffer.from([0xff])]),
    ])
      oauthError.expect(await sendForm(app(), '/oauth2/revoke', body), 400, 'invalid_request');
    await expectAlive(session);
  });
});
