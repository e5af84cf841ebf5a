import { Injectable, Module } from '@nestjs/common';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { InTransaction, MatrixError, SessionStarted } from '../../src/index.js';
import { type ClientSession, PASSWORD, passwordOf, someKeys, V3 } from '../../src/testing/matrix-client.js';
import { Housekeeping } from '../../src/database/housekeeping.js';
import { ClientsService } from '../../src/oauth/clients/clients.service.js';
import { SessionStartService } from '../../src/session/session-start.service.js';
import { SessionService } from '../../src/session/session.service.js';
import { Unavailable } from '../../src/system/outage.js';
import { Bystander, GatesModule, inLogin, lockWaiters } from '../support/interleaving.js';
import {
  CLIENT,
  oauthError,
  lockAccount,
  newDeviceId,
  newPkce,
  OAUTH_VARIABLES,
  OAuthClient,
  type OAuthTokens,
  scopeOf,
  statusOf,
} from '../support/oauth.js';
import { SigningUser } from '../support/signing.js';
import { census, NOTHING, useApp } from '../support/test-app.js';
import { Visitor } from '../support/visitor.js';

/** A listener as another team would write it. {@link TestApp.fail} makes it fail. */
@Injectable()
class TeamListener {
  @InTransaction(SessionStarted)
  async onSessionStarted(): Promise<void> {}
}

@Module({ providers: [TeamListener] })
class TeamModule {}

const app = useApp({ extensions: [GatesModule, TeamModule], variables: OAUTH_VARIABLES });
const ROUNDS = 10;
const LOCK_DEVICE = 'SELECT FROM devices WHERE user_id = $1 AND device_id = $2 FOR UPDATE';

let client: OAuthClient;
let other: OAuthClient;
beforeAll(async () => {
  client = await OAuthClient.register(app());
  other = await OAuthClient.register(app(), { ...CLIENT, client_name: 'Other App' });
});
afterEach(() => inLogin.open());

/** A user with a session by the legacy API, and a browser where they are signed in. */
async function newUser(): Promise<{ user: ClientSession; browser: Visitor }> {
  const user = await app().matrix.register({ refresh_token: true });
  return { user, browser: await signedIn(user) };
}

async function signedIn({ userId }: ClientSession): Promise<Visitor> {
  const browser = new Visitor(app());
  await browser.signIn(userId, PASSWORD);
  return browser;
}

interface Code {
  readonly code: string;
  readonly verifier: string;
  readonly deviceId: string;
}

async function newCode(browser: Visitor, deviceId = newDeviceId()): Promise<Code> {
  const { verifier, challenge } = newPkce();
  const answer = await client.authorize(browser, challenge, { scope: scopeOf(deviceId) });
  return { code: answer.get('code')!, verifier, deviceId };
}

const exchange = ({ code, verifier }: Code) => client.exchange(code, verifier);

async function grantsOf({ userId }: ClientSession): Promise<number> {
  return (await app().sql('SELECT FROM oauth_grants WHERE user_id = $1', [userId])).length;
}

const refreshTokenOf = (body: unknown) => (body as OAuthTokens).refresh_token;
const accessTokenOf = (body: unknown) => (body as OAuthTokens).access_token;

interface Entry {
  readonly action: string;
  readonly reason: string | null;
  readonly client_id: string | null;
}

/** The audit entries about a device, oldest first. */
function storyOf({ userId }: ClientSession, deviceId: string): Promise<Entry[]> {
  return app().sql<Entry>(
    `SELECT action, reason, client_id FROM audit_entries
     WHERE user_id = $1 AND device_id = $2 ORDER BY at, entry_id`,
    [userId, deviceId],
  );
}

const changePassword = (user: ClientSession, logout_devices: boolean) =>
  app()
    .matrix.call(user, 'post', '/account/password')
    .send({ new_password: 'another long phrase', logout_devices, auth: passwordOf(user) });

describe('A code that is used again', () => {
  it('within 20 seconds is refused, and nothing else happens', async () => {
    const { user, browser } = await newUser();
    const code = await newCode(browser);
    const { body } = await exchange(code).expect(200);
    for (const afterMs of [0, 9_000, 10_000]) {
      app().clock.advance(afterMs);
      oauthError.expect(await exchange(code), 400, 'invalid_grant');
    }
    expect(await statusOf(app(), body.access_token)).toBe(200);
    await client.refresh(body.refresh_token).expect(200);
    expect(await storyOf(user, code.deviceId)).not.toContainEqual(
      expect.objectContaining({ action: 'session_ended' }),
    );
  });

  it('later ends the session that it began', async () => {
    const { user, browser } = await newUser();
    const code = await newCode(browser);
    const { body } = await exchange(code).expect(200);
    app().clock.advance(21_000);
    oauthError.expect(await exchange(code), 400, 'invalid_grant');
    expect(await statusOf(app(), body.access_token)).toBe(401);
    oauthError.expect(await client.refresh(body.refresh_token), 400, 'invalid_grant');
    expect((await storyOf(user, code.deviceId)).at(-1)).toMatchObject({
      action: 'session_ended',
      reason: 'code_replay',
    });
    expect(await statusOf(app(), user.accessToken)).toBe(200);
    // The third time, there is nothing to end.
    oauthError.expect(await exchange(code), 400, 'invalid_grant');
  });

  it('later ends the session after refreshes, too', async () => {
    const { browser } = await newUser();
    const code = await newCode(browser);
    const { body } = await exchange(code).expect(200);
    const { body: next } = await client.refresh(body.refresh_token).expect(200);
    expect(await statusOf(app(), next.access_token)).toBe(200);
    app().clock.advance(10 * 60_000);
    oauthError.expect(await exchange(code), 400, 'invalid_grant');
    expect(await statusOf(app(), next.access_token)).toBe(401);
    oauthError.expect(await client.refresh(next.refresh_token), 400, 'invalid_grant');
  });

  it('later by somebody who has only seen it does nothing', async () => {
    const { user, browser } = await newUser();
    const code = await newCode(browser);
    const { body } = await exchange(code).expect(200);
    app().clock.advance(21_000);
    for (const answer of [
      await client.exchange(code.code, newPkce().verifier),
      await client.exchange(code.code, 'x'),
      await other.exchange(code.code, code.verifier),
      await client.exchange(code.code, code.verifier, { redirect_uri: 'https://app.example.net/' }),
    ])
      oauthError.expect(answer, 400, 'invalid_grant');
    expect(await statusOf(app(), body.access_token)).toBe(200);
    expect(await storyOf(user, code.deviceId)).not.toContainEqual(
      expect.objectContaining({ action: 'session_ended' }),
    );
  });

  it.each(['OAuth', 'the legacy API'])(
    'later does not end a newer session by %s on the device',
    async (api) => {
      const { user, browser } = await newUser();
      const code = await newCode(browser);
      await exchange(code).expect(200);
      const newer =
        api === 'OAuth'
          ? (await client.begin(browser, code.deviceId)).access_token
          : (await app().matrix.login(user.userId, { device_id: code.deviceId })).accessToken;
      app().clock.advance(21_000);
      oauthError.expect(await exchange(code), 400, 'invalid_grant');
      expect(await statusOf(app(), newer)).toBe(200);
    },
  );

  it('is recognised for an hour, even after the service has tidied up', async () => {
    const { browser } = await newUser();
    const code = await newCode(browser);
    const { body } = await exchange(code).expect(200);
    app().clock.advance(50 * 60_000);
    await app().nest.get(Housekeeping).run();
    const { body: next } = await client.refresh(body.refresh_token).expect(200);
    oauthError.expect(await exchange(code), 400, 'invalid_grant');
    expect(await statusOf(app(), next.access_token)).toBe(401);
  });

  it('later ends the session of a locked user, too', async () => {
    const { user, browser } = await newUser();
    const code = await newCode(browser);
    await exchange(code).expect(200);
    app().clock.advance(21_000);
    await lockAccount(app(), user.userId);
    oauthError.expect(await exchange(code), 400, 'invalid_grant');
    expect(await census(app(), user.userId, code.deviceId)).toEqual(NOTHING);
  });
});

describe('Exchanges at once', () => {
  it('of one code: one gets tokens', async () => {
    const { user, browser } = await newUser();
    for (let round = 0; round < ROUNDS; round += 1) {
      const code = await newCode(browser);
      const answers = await Promise.all(Array.from({ length: 4 }, () => exchange(code)));
      expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 400, 400, 400]);
      for (const answer of answers)
        if (answer.status === 400) oauthError.expect(answer, 400, 'invalid_grant');
      const { body } = answers.find(({ status }) => status === 200)!;
      expect(await statusOf(app(), accessTokenOf(body))).toBe(200);
      expect(await census(app(), user.userId, code.deviceId)).toMatchObject({
        devices: 1,
        access_tokens: 1,
        refresh_tokens: 1,
      });
    }
  });

  it('of two codes for one new device: each gets tokens, and the later ones are good', async () => {
    const { user, browser } = await newUser();
    for (let round = 0; round < ROUNDS; round += 1) {
      const deviceId = newDeviceId();
      const codes = [await newCode(browser, deviceId), await newCode(browser, deviceId)];
      const answers = await Promise.all(codes.map((code) => exchange(code)));
      expect(answers.map(({ status }) => status)).toEqual([200, 200]);
      const statuses = await Promise.all(answers.map(({ body }) => statusOf(app(), accessTokenOf(body))));
      expect(statuses.toSorted()).toEqual([200, 401]);
      expect(await census(app(), user.userId, deviceId)).toMatchObject({
        devices: 1,
        access_tokens: 1,
        refresh_tokens: 1,
      });
    }
  });

  it('with a legacy login on the same new device: one session is left, of one kind', async () => {
    const { user, browser } = await newUser();
    for (let round = 0; round < ROUNDS; round += 1) {
      const code = await newCode(browser);
      const [answer, login] = await Promise.all([
        exchange(code),
        app().matrix.login(user.userId, { device_id: code.deviceId, refresh_token: true }),
      ]);
      expect(answer.status).toBe(200);
      const byOAuth = (await statusOf(app(), accessTokenOf(answer.body))) === 200;
      expect(await statusOf(app(), login.accessToken)).toBe(byOAuth ? 401 : 200);
      const [oauth, legacy] = [
        await client.refresh(refreshTokenOf(answer.body)),
        await app().matrix.refresh(login.refreshToken!),
      ];
      expect([oauth.status, legacy.status]).toEqual(byOAuth ? [200, 401] : [400, 200]);
    }
  });
});

describe('The same device by both APIs', () => {
  it('belongs to the legacy login that came later: earlier tokens die, keys stay', async () => {
    const { user, browser } = await newUser();
    const deviceId = newDeviceId();
    const tokens = await client.begin(browser, deviceId);
    const device = { userId: user.userId, deviceId, accessToken: tokens.access_token };
    await app().matrix.uploadKeys(device, someKeys(device)).expect(200);
    const login = await app().matrix.login(user.userId, { device_id: deviceId, refresh_token: true });
    expect(await statusOf(app(), tokens.access_token)).toBe(401);
    oauthError.expect(await client.refresh(tokens.refresh_token), 400, 'invalid_grant');
    await client.revoke(tokens.access_token).expect(200, {});
    expect(await statusOf(app(), login.accessToken)).toBe(200);
    expect(await census(app(), user.userId, deviceId)).toMatchObject({
      devices: 1,
      access_tokens: 1,
      refresh_tokens: 1,
      device_keys: 1,
      one_time_keys: 3,
    });
    oauthError.expect(await client.refresh(login.refreshToken!), 400, 'invalid_grant');
    await app().matrix.refresh(login.refreshToken!).expect(200);
    // The session proves things by a password again.
    const challenge = await app().matrix.call(login, 'delete', `/devices/${user.deviceId}`).send({});
    expect(challenge.status).toBe(401);
    expect(challenge.body.flows).toContainEqual({ stages: ['m.login.password'] });
  });

  it('belongs to the OAuth client that came later: earlier tokens die, keys stay', async () => {
    const { user, browser } = await newUser();
    const deviceId = newDeviceId();
    const login = await app().matrix.login(user.userId, { device_id: deviceId, refresh_token: true });
    await app().matrix.uploadKeys(login, someKeys(login)).expect(200);
    const tokens = await client.begin(browser, deviceId);
    expect(await statusOf(app(), login.accessToken)).toBe(401);
    await app().matrix.refresh(login.refreshToken!).expect(401);
    const device = { ...login, accessToken: tokens.access_token };
    expect(await statusOf(app(), tokens.access_token)).toBe(200);
    expect(await census(app(), user.userId, deviceId)).toMatchObject({
      devices: 1,
      access_tokens: 1,
      refresh_tokens: 1,
      device_keys: 1,
      one_time_keys: 3,
    });
    const refused = await app().matrix.call(device, 'delete', `/devices/${user.deviceId}`).send({});
    expect({ status: refused.status, errcode: refused.body.errcode }).toEqual({
      status: 403,
      errcode: 'M_FORBIDDEN',
    });
    const { body: next } = await client.refresh(tokens.refresh_token).expect(200);
    const later = { ...device, accessToken: next.access_token };
    expect((await app().matrix.call(later, 'delete', `/devices/${user.deviceId}`).send({})).status).toBe(403);
    await client.revoke(next.refresh_token).expect(200, {});
    expect(await census(app(), user.userId, deviceId)).toEqual(NOTHING);
  });

  it('survives a spent token of the session before, at either API', async () => {
    const { user, browser } = await newUser();
    const deviceId = newDeviceId();
    const first = await client.begin(browser, deviceId);
    const { body: second } = await client.refresh(first.refresh_token).expect(200);
    expect(await statusOf(app(), second.access_token)).toBe(200);
    const login = await app().matrix.login(user.userId, { device_id: deviceId });
    app().clock.advance(61_000);
    for (const token of [first.refresh_token, second.refresh_token]) {
      oauthError.expect(await client.refresh(token), 400, 'invalid_grant');
      await app().matrix.refresh(token).expect(401);
    }
    expect(await statusOf(app(), login.accessToken)).toBe(200);
  });
});

describe('A revocation that races a refresh', () => {
  it('leaves nothing alive, whichever comes first', async () => {
    const { user, browser } = await newUser();
    for (let round = 0; round < 2 * ROUNDS; round += 1) {
      const deviceId = newDeviceId();
      const { refresh_token, access_token } = await client.begin(browser, deviceId);
      const revoke = () => client.revoke(round % 3 === 0 ? access_token : refresh_token);
      const refresh = () => client.refresh(refresh_token);
      const answers =
        round % 2 === 0
          ? await Promise.all([revoke(), refresh(), refresh()])
          : await Promise.all([refresh(), refresh(), revoke()]);
      const revoked = answers[round % 2 === 0 ? 0 : 2];
      expect({ status: revoked.status, body: revoked.body as unknown }).toEqual({ status: 200, body: {} });
      for (const { status, body } of answers) {
        expect([200, 400]).toContain(status);
        if (status === 400) expect(body.error).toBe('invalid_grant');
        if (body.access_token === undefined) continue;
        expect(await statusOf(app(), accessTokenOf(body))).toBe(401);
        expect((await client.refresh(refreshTokenOf(body))).status).toBe(400);
      }
      expect(await census(app(), user.userId, deviceId)).toEqual(NOTHING);
    }
  });

  it('waits for a refresh that holds the session, and ends what it made', async () => {
    const { user, browser } = await newUser();
    const deviceId = newDeviceId();
    const { refresh_token } = await client.begin(browser, deviceId);
    const bystander = await Bystander.begin(app());
    await bystander.run(LOCK_DEVICE, [user.userId, deviceId]);
    const refresh = client.refresh(refresh_token).then((answer) => answer);
    await lockWaiters(app(), 1);
    const revoke = client.revoke(refresh_token).then(({ status }) => status);
    await lockWaiters(app(), 2);
    await bystander.commit();
    const { status, body } = await refresh;
    expect([status, await revoke]).toEqual([200, 200]);
    expect(await statusOf(app(), accessTokenOf(body))).toBe(401);
    expect(await census(app(), user.userId, deviceId)).toEqual(NOTHING);
  });

  it('and a later login on the device: the new session stays', async () => {
    const { user, browser } = await newUser();
    const deviceId = newDeviceId();
    const tokens = await client.begin(browser, deviceId);
    const bystander = await Bystander.begin(app());
    await bystander.run(LOCK_DEVICE, [user.userId, deviceId]);
    const login = app().matrix.login(user.userId, { device_id: deviceId });
    await lockWaiters(app(), 1);
    const revoke = client.revoke(tokens.access_token).then(({ status }) => status);
    await lockWaiters(app(), 2);
    await bystander.commit();
    expect(await revoke).toBe(200);
    expect(await statusOf(app(), (await login).accessToken)).toBe(200);
  });
});

describe('A logout of all devices', () => {
  it('takes the codes of the user along, and signs their browsers out', async () => {
    const { user, browser } = await newUser();
    const codes = [await newCode(browser), await newCode(browser)];
    const used = await newCode(browser);
    await exchange(used).expect(200);
    await app().matrix.logoutAll(user).expect(200);
    expect(await grantsOf(user)).toBe(0);
    for (const code of [...codes, used]) oauthError.expect(await exchange(code), 400, 'invalid_grant');
    expect(await census(app(), user.userId)).toEqual(NOTHING);
    const page = await browser.get(client.authorizePath(newPkce().challenge));
    expect(page.headers['location']).toMatch(/^\/account\/login\?/);
  });

  it('that waits for an exchange ends its session', async () => {
    const { user, browser } = await newUser();
    const code = await newCode(browser);
    inLogin.close();
    const exchanged = exchange(code).then((answer) => answer);
    await inLogin.isReached();
    const logout = app()
      .matrix.logoutAll(user)
      .then(({ status }) => status);
    await lockWaiters(app(), 1);
    inLogin.open();
    const { status, body } = await exchanged;
    expect([status, await logout]).toEqual([200, 200]);
    expect(await statusOf(app(), accessTokenOf(body))).toBe(401);
    expect(await census(app(), user.userId)).toEqual(NOTHING);
    expect(await grantsOf(user)).toBe(0);
  });

  it('that an exchange waits for leaves no code to exchange', async () => {
    const { user, browser } = await newUser();
    const code = await newCode(browser);
    const bystander = await Bystander.begin(app());
    await bystander.run(LOCK_DEVICE, [user.userId, user.deviceId]);
    const logout = app()
      .matrix.logoutAll(user)
      .then(({ status }) => status);
    await lockWaiters(app(), 1);
    const exchanged = exchange(code).then((answer) => answer);
    await lockWaiters(app(), 2);
    await bystander.commit();
    expect(await logout).toBe(200);
    oauthError.expect(await exchanged, 400, 'invalid_grant');
    expect(await census(app(), user.userId)).toEqual(NOTHING);
  });

  it('leaves no session of a code that is exchanged at the same time', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const { user, browser } = await newUser();
      const code = await newCode(browser);
      const [exchanged, logout] = await Promise.all([exchange(code), app().matrix.logoutAll(user)]);
      expect([200, 400]).toContain(exchanged.status);
      expect(logout.status).toBe(200);
      expect(await census(app(), user.userId)).toEqual(NOTHING);
      expect(await grantsOf(user)).toBe(0);
    }
  });

  it('leaves no code that the user agrees to at the same time', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const { user, browser } = await newUser();
      const { verifier, challenge } = newPkce();
      const page = await browser.get(client.authorizePath(challenge));
      const [answer, logout] = await Promise.all([
        browser.submit(page, { decision: 'allow' }, { action: '/oauth2/auth' }),
        app().matrix.logoutAll(user),
      ]);
      expect(logout.status).toBe(200);
      expect(answer.status === 303 || answer.status === 403).toBe(true);
      const location = answer.headers['location'];
      const code =
        location === undefined
          ? null
          : new URL(location, OAUTH_VARIABLES.PUBLIC_BASE_URL).searchParams.get('code');
      if (code !== null) oauthError.expect(await client.exchange(code, verifier), 400, 'invalid_grant');
      expect(await grantsOf(user)).toBe(0);
    }
  });
});

describe('A change of the password', () => {
  it('takes codes, browsers and OAuth sessions along', async () => {
    const { user, browser } = await newUser();
    const tokens = await client.begin(browser);
    const code = await newCode(browser);
    await changePassword(user, true).expect(200);
    oauthError.expect(await exchange(code), 400, 'invalid_grant');
    expect(await grantsOf(user)).toBe(0);
    expect(await statusOf(app(), tokens.access_token)).toBe(401);
    oauthError.expect(await client.refresh(tokens.refresh_token), 400, 'invalid_grant');
    expect(await statusOf(app(), user.accessToken)).toBe(200);
    expect((await browser.get('/account')).status).toBe(303);
  });

  it('that leaves devices signed in leaves OAuth sessions, too, but no code and no browser', async () => {
    const { user, browser } = await newUser();
    const tokens = await client.begin(browser);
    const code = await newCode(browser);
    await changePassword(user, false).expect(200);
    oauthError.expect(await exchange(code), 400, 'invalid_grant');
    expect(await grantsOf(user)).toBe(0);
    expect(await statusOf(app(), tokens.access_token)).toBe(200);
    await client.refresh(tokens.refresh_token).expect(200);
    expect((await browser.get('/account')).status).toBe(303);
  });

  it('leaves no session of a code that is exchanged at the same time', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const { user, browser } = await newUser();
      const code = await newCode(browser);
      const [exchanged, changed] = await Promise.all([exchange(code), changePassword(user, true)]);
      expect([200, 400]).toContain(exchanged.status);
      expect(changed.status).toBe(200);
      expect(await census(app(), user.userId, code.deviceId)).toEqual(NOTHING);
      expect(await census(app(), user.userId)).toMatchObject({ devices: 1 });
      expect(await grantsOf(user)).toBe(0);
    }
  });
});

describe('The end of all sessions by an administrator', () => {
  it('takes codes along', async () => {
    const { user, browser } = await newUser();
    const tokens = await client.begin(browser);
    const code = await newCode(browser);
    await app().nest.get(SessionService, { strict: false }).endAllNamed(user.userId, null);
    oauthError.expect(await exchange(code), 400, 'invalid_grant');
    expect(await grantsOf(user)).toBe(0);
    oauthError.expect(await client.refresh(tokens.refresh_token), 400, 'invalid_grant');
    expect(await census(app(), user.userId)).toEqual(NOTHING);
  });
});

describe('Refreshes of both APIs that share a transaction', () => {
  it('each get an answer of their own', async () => {
    const users = await Promise.all(Array.from({ length: 6 }, newUser));
    const sessions = await Promise.all(users.map(({ browser }) => client.begin(browser)));
    const locked = users[0]!.user;
    await lockAccount(app(), locked.userId);
    const answers = await Promise.all(
      users.flatMap(({ user }, at) => {
        const { refresh_token, scope } = sessions[at]!;
        return [
          app().matrix.refresh(user.refreshToken!),
          // Of the wrong API, the wrong client and too much, each of which changes nothing.
          client.refresh(user.refreshToken!),
          app().matrix.refresh(refresh_token),
          other.refresh(refresh_token),
          client.refresh(refresh_token, { scope: `${scope} email` }),
          client.refresh(refresh_token),
        ];
      }),
    );
    const outcomes = answers.map(({ status, body }) => [status, body.errcode ?? body.error ?? null]);
    const expected = users.flatMap(({ user }) => [
      user === locked ? [401, 'M_USER_LOCKED'] : [200, null],
      [400, 'invalid_grant'],
      [401, 'M_UNKNOWN_TOKEN'],
      [400, 'invalid_grant'],
      [400, 'invalid_scope'],
      [200, null],
    ]);
    expect(outcomes).toEqual(expected);
  });
});

describe('The end of an account', () => {
  it('takes codes and OAuth sessions along', async () => {
    const { user, browser } = await newUser();
    const tokens = await client.begin(browser);
    const code = await newCode(browser);
    await app()
      .matrix.call(user, 'post', '/account/deactivate')
      .send({ auth: passwordOf(user) })
      .expect(200);
    oauthError.expect(await exchange(code), 400, 'invalid_grant');
    expect(await grantsOf(user)).toBe(0);
    expect(await statusOf(app(), tokens.access_token)).toBe(401);
    expect(await census(app(), user.userId)).toEqual(NOTHING);
  });
});

describe('An account that is locked in the middle of a login', () => {
  it('before the consent page has to sign in again, which it cannot', async () => {
    const { user, browser } = await newUser();
    await lockAccount(app(), user.userId);
    const page = await browser.get(client.authorizePath(newPkce().challenge));
    expect(page.status).toBe(303);
    expect(page.headers['location']).toMatch(/^\/account\/login\?/);
  });

  it('on the consent page gets no code', async () => {
    const { user, browser } = await newUser();
    const page = await browser.get(client.authorizePath(newPkce().challenge));
    await lockAccount(app(), user.userId);
    const answer = await browser.submit(page, { decision: 'allow' }, { action: '/oauth2/auth' });
    expect(answer.headers['location'] ?? '').not.toContain('code=');
    expect(await grantsOf(user)).toBe(0);
  });

  it('while the decision waits gets no code', async () => {
    const { user, browser } = await newUser();
    const page = await browser.get(client.authorizePath(newPkce().challenge));
    const bystander = await Bystander.begin(app());
    await bystander.run('UPDATE accounts SET locked_at = now() WHERE user_id = $1', [user.userId]);
    const decided = browser.submit(page, { decision: 'allow' }, { action: '/oauth2/auth' });
    await lockWaiters(app(), 1);
    await bystander.commit();
    expect((await decided).headers['location'] ?? '').not.toContain('code=');
    expect(await grantsOf(user)).toBe(0);
  });

  it('while the exchange waits gets no tokens, and later it does', async () => {
    const { user, browser } = await newUser();
    const code = await newCode(browser);
    const bystander = await Bystander.begin(app());
    await bystander.run('UPDATE accounts SET locked_at = now() WHERE user_id = $1', [user.userId]);
    const exchanged = exchange(code).then((answer) => answer);
    await lockWaiters(app(), 1);
    await bystander.commit();
    oauthError.expect(await exchanged, 400, 'invalid_grant');
    expect(await census(app(), user.userId, code.deviceId)).toEqual(NOTHING);
    await lockAccount(app(), user.userId, false);
    await exchange(code).expect(200);
  });
});

describe('A failure while a session begins', () => {
  it('leaves the code good', async () => {
    const { user, browser } = await newUser();
    const code = await newCode(browser);
    const failure = app().fail(TeamListener, 'onSessionStarted', { times: 1 });
    oauthError.expect(await exchange(code), 500, 'server_error');
    expect(await census(app(), user.userId, code.deviceId)).toEqual(NOTHING);
    const { body } = await exchange(code).expect(200);
    expect(failure.calls).toBe(2);
    failure.restore();
    expect(await statusOf(app(), body.access_token)).toBe(200);
    expect(await storyOf(user, code.deviceId)).toMatchObject([
      { action: 'consent_given' },
      { action: 'session_started' },
    ]);
  });

  it('leaves the device code good', async () => {
    const { user, browser } = await newUser();
    const deviceId = newDeviceId();
    const { body: codes } = await client.device(scopeOf(deviceId)).expect(200);
    const page = await browser.get(`/account/link?user_code=${codes.user_code}`);
    await browser.submit(page, { decision: 'allow' }, { action: '/account/link' });
    const failure = app().fail(TeamListener, 'onSessionStarted', { times: 1 });
    oauthError.expect(await client.pollDevice(codes.device_code), 500, 'server_error');
    expect(await census(app(), user.userId, deviceId)).toEqual(NOTHING);
    await client.pollDevice(codes.device_code).expect(200);
    failure.restore();
  });

  it('leaves the tokens of the device as they were', async () => {
    const { browser } = await newUser();
    const deviceId = newDeviceId();
    const before = await client.begin(browser, deviceId);
    const code = await newCode(browser, deviceId);
    const failure = app().fail(TeamListener, 'onSessionStarted', { times: 1 });
    oauthError.expect(await exchange(code), 500, 'server_error');
    failure.restore();
    expect(await statusOf(app(), before.access_token)).toBe(200);
  });

  it('of the database is told as one that passes, and leaves the code good', async () => {
    const { user, browser } = await newUser();
    const code = await newCode(browser);
    const failure = app().fail(SessionStartService, 'start', {
      error: new Unavailable('The database has gone'),
      times: 1,
    });
    const answer = await exchange(code);
    oauthError.expect(answer, 503, 'temporarily_unavailable');
    expect(answer.headers['retry-after']).toMatch(/^[1-9]\d*$/);
    failure.restore();
    expect(await census(app(), user.userId, code.deviceId)).toEqual(NOTHING);
    await exchange(code).expect(200);
  });

  it('to note that the client is in use leaves the code good', async () => {
    const { browser } = await newUser();
    const code = await newCode(browser);
    const failure = app().fail(ClientsService, 'touch', { times: 1 });
    oauthError.expect(await exchange(code), 500, 'server_error');
    failure.restore();
    const { body } = await exchange(code).expect(200);
    expect(await statusOf(app(), accessTokenOf(body))).toBe(200);
  });

  it('that a listener means as a refusal is one in the words of OAuth', async () => {
    const { user, browser } = await newUser();
    const code = await newCode(browser);
    const failure = app().fail(TeamListener, 'onSessionStarted', {
      error: MatrixError.forbidden('Not on this device'),
      times: 1,
    });
    oauthError.expect(await exchange(code), 400, 'invalid_grant');
    failure.restore();
    expect(await census(app(), user.userId, code.deviceId)).toEqual(NOTHING);
    await exchange(code).expect(200);
  });

  it('is refused for a device that is called like a key of the user', async () => {
    const { user, browser } = await newUser();
    const keys = new SigningUser(user.userId);
    await app().matrix.call(user, 'post', '/keys/device_signing/upload').send(keys.upload()).expect(200);
    const code = await newCode(browser, keys.master.publicKey);
    oauthError.expect(await exchange(code), 400, 'invalid_grant');
    expect((await census(app(), user.userId, code.deviceId))['devices']).toBe(0);
  });
});

describe('Two users who approve one device at once', () => {
  it('cannot both have it', async () => {
    const [one, two] = [await newUser(), await newUser()];
    for (let round = 0; round < ROUNDS; round += 1) {
      const deviceId = newDeviceId();
      const { body: codes } = await client.device(scopeOf(deviceId)).expect(200);
      const path = `/account/link?user_code=${codes.user_code}`;
      const pages = await Promise.all([one, two].map(({ browser }) => browser.get(path)));
      const answers = await Promise.all(
        [one, two].map(({ browser }, at) =>
          browser.submit(pages[at]!, { decision: 'allow' }, { action: '/account/link' }),
        ),
      );
      const statuses = answers.map(({ status }) => status);
      expect(statuses.toSorted()).toEqual([200, 404]);
      const winner = statuses[0] === 200 ? one : two;
      const { body } = await client.pollDevice(codes.device_code).expect(200);
      const { body: whoami } = await app().matrix.whoami({ ...winner.user, accessToken: body.access_token });
      expect(whoami).toMatchObject({ user_id: winner.user.userId, device_id: deviceId });
      const loser = winner === one ? two : one;
      expect(await census(app(), loser.user.userId, deviceId)).toEqual(NOTHING);
    }
  });
});

describe('The audit', () => {
  it('tells the whole story of a session, with its client', async () => {
    const { user, browser } = await newUser();
    const code = await newCode(browser);
    const { body } = await exchange(code).expect(200);
    await client.refresh(body.refresh_token).expect(200);
    await client.revoke(body.access_token).expect(200);
    const { clientId: client_id } = client;
    expect(await storyOf(user, code.deviceId)).toMatchObject([
      { action: 'consent_given', client_id },
      { action: 'session_started', client_id },
      { action: 'session_ended', reason: 'revoked' },
    ]);
  });

  it('tells of a refusal by the user', async () => {
    const { user, browser } = await newUser();
    const page = await browser.get(client.authorizePath(newPkce().challenge));
    await browser.submit(page, { decision: 'refuse' }, { action: '/oauth2/auth' });
    expect(await storyOf(user, 'DEVICEDEVICE')).toEqual([
      { action: 'consent_refused', reason: null, client_id: client.clientId },
    ]);
  });

  it('has no client for the legacy API', async () => {
    const { user } = await newUser();
    expect(await storyOf(user, user.deviceId)).toEqual([
      { action: 'session_started', reason: null, client_id: null },
    ]);
  });

  it('keeps refusals of the token endpoint, and never a code, a token or a verifier', async () => {
    const { browser } = await newUser();
    const code = await newCode(browser);
    // The audit takes so many refusals in a minute.
    app().clock.advance(60_000);
    const since = app().clock.now();
    oauthError.expect(await exchange(code), 400, 'invalid_grant');
    const tokens = await client.begin(browser);
    oauthError.expect(await client.refresh('x'), 400, 'invalid_grant');
    const unknown = { grant_type: 'refresh_token', client_id: 'x', refresh_token: 'x' };
    oauthError.expect(await client.token(unknown), 401, 'invalid_client');
    const wanted = [
      { operation: 'POST /oauth2/token', reason: 'invalid_grant' },
      { operation: 'POST /oauth2/token', reason: 'invalid_client' },
    ];
    await expect
      .poll(
        () =>
          app().sql("SELECT operation, reason FROM audit_entries WHERE action = 'refused' AND at >= $1", [
            since,
          ]),
        { timeout: 5_000, interval: 20 },
      )
      .toEqual(expect.arrayContaining(wanted));
    const rows = JSON.stringify(await app().sql('SELECT e::text AS row FROM audit_entries e'));
    for (const secret of [code.code, code.verifier, tokens.access_token, tokens.refresh_token])
      expect(rows).not.toContain(secret.slice(-24));
  });
});

describe('An OAuth session', () => {
  it('works in all the usual calls, and logs out like any other', async () => {
    const { user, browser } = await newUser();
    const deviceId = newDeviceId();
    const tokens = await client.begin(browser, deviceId);
    const session = { userId: user.userId, deviceId, accessToken: tokens.access_token };
    expect(await app().matrix.devices(session)).toContainEqual({
      device_id: deviceId,
      display_name: 'Example App',
    });
    await app()
      .http.put(`${V3}/devices/${deviceId}`)
      .auth(tokens.access_token, { type: 'bearer' })
      .send({ display_name: 'Mine' })
      .expect(200);
    await app().matrix.logoutAll(session).expect(200);
    expect(await census(app(), user.userId)).toEqual(NOTHING);
    oauthError.expect(await client.refresh(tokens.refresh_token), 400, 'invalid_grant');
  });
});
