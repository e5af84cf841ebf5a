import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DataSource } from 'typeorm';
import { describe, expect, it } from 'vitest';
import { Environment } from '../../src/index.js';
import { HomeserverSecret } from '../../src/homeserver/homeserver-secret.js';
import type { ClientSession } from '../../src/testing/matrix-client.js';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { TestApp, useApp } from '../support/test-app.js';

const SECRET = 'a-secret-that-only-the-homeserver-knows';
const variables = { HOMESERVER_SECRET: SECRET, SERVER_ADMINS: '@admin:localhost', ACCESS_TOKEN_TTL: '5m' };
const app = useApp({ variables });

const ask = (body: object | string, secret: string | null = SECRET) => {
  const request = app().http.post('/oauth2/introspect').type('form');
  if (secret !== null) void request.set('Authorization', `Bearer ${secret}`);
  return request.send(body);
};
const about = async (token: string) => {
  const { body, headers } = await ask({ token, token_type_hint: 'access_token' }).expect(200);
  expect(headers['cache-control']).toBe('no-store');
  return body as Record<string, unknown>;
};
const live = ({ userId, deviceId }: ClientSession) => ({
  active: true,
  scope: [
    'urn:matrix:client:api:*',
    'urn:matrix:org.matrix.msc2967.client:api:*',
    `urn:matrix:client:device:${deviceId}`,
    `urn:matrix:org.matrix.msc2967.client:device:${deviceId}`,
  ].join(' '),
  username: userId.slice(1, userId.indexOf(':')),
  device_id: deviceId,
});

describe('POST /oauth2/introspect', () => {
  it('says whose a token is, and nothing of a time for one that does not expire', async () => {
    const session = await app().matrix.register();
    expect(await about(session.accessToken)).toEqual(live(session));
  });

  it('says in whole seconds when a token expires, and calls it inactive in its last second', async () => {
    const session = await app().matrix.register({ refresh_token: true });
    const { expires_in: expiresIn, ...rest } = await about(session.accessToken);
    expect(rest).toEqual(live(session));
    expect(Number.isInteger(expiresIn)).toBe(true);
    expect(expiresIn).toBeLessThanOrEqual(300);
    app().clock.advance(299_900);
    expect(await about(session.accessToken)).toEqual({ active: false });
  });

  it('leaves the device out of the scope if its ID cannot stand in one', async () => {
    const session = await app().matrix.register({ device_id: 'My phone' });
    expect(await about(session.accessToken)).toMatchObject({
      active: true,
      scope: 'urn:matrix:client:api:* urn:matrix:org.matrix.msc2967.client:api:*',
      device_id: 'My phone',
    });
  });

  it('says that a token is inactive from the moment of the 200 to its logout', async () => {
    const session = await app().matrix.register();
    expect(await about(session.accessToken)).toMatchObject({ active: true });
    await app().matrix.logout(session).expect(200);
    expect(await about(session.accessToken)).toEqual({ active: false });
  });

  it('says so of a token that a login on the same device has replaced', async () => {
    const old = await app().matrix.register();
    const again = await app().matrix.login(old.userId, { device_id: old.deviceId });
    expect(await about(again.accessToken)).toEqual(live(old));
    expect(await about(old.accessToken)).toEqual({ active: false });
  });

  it('says so of everything that is no access token of a session', async () => {
    const session = await app().matrix.register({ refresh_token: true });
    const others = ['x', 'mxa_', session.refreshToken!, SECRET, `${session.accessToken}x`, '\u0000', 'é'];
    for (const token of others) expect([token, await about(token)]).toEqual([token, { active: false }]);
  });

  it('says nothing of a locked user with 503, so that clients keep their keys', async () => {
    const [session, admin] = [await app().matrix.register(), await app().createUser('admin')];
    const lock = (locked: boolean) =>
      app()
        .http.put(`/_matrix/client/v1/admin/lock/${session.userId}`)
        .auth(admin.accessToken, { type: 'bearer' })
        .send({ locked })
        .expect(200);
    await lock(true);
    const { body, headers } = await ask({ token: session.accessToken }).expect(503);
    expect(body).toEqual({ error: 'temporarily_unavailable', error_description: expect.any(String) });
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    await lock(false);
    expect(await about(session.accessToken)).toMatchObject({ active: true });
  });

  it.each([
    ['none', null],
    ['another one', `${SECRET}x`],
    ['an access token', 'mxa_YWxpY2U_0123456789012345678901_0123456789'],
  ])('asks for the secret when there is %s', async (_, secret) => {
    const { accessToken } = await app().matrix.register();
    const { body, headers } = await ask({ token: accessToken }, secret).expect(401);
    expect(body).toEqual({ error: 'invalid_token', error_description: expect.any(String) });
    expect(headers['www-authenticate']).toBe('Bearer');
  });

  it.each([
    ['no token', ''],
    ['an empty token', 'token='],
    ['two tokens', 'token=a&token=b'],
  ])('refuses a form with %s', async (_, body) => {
    expect((await ask(body).expect(400)).body).toMatchObject({ error: 'invalid_request' });
  });

  it('refuses a body that is no form, or far too large', async () => {
    const json = app().http.post('/oauth2/introspect').set('Authorization', `Bearer ${SECRET}`);
    expect((await json.send({ token: 'x' }).expect(400)).body).toMatchObject({ error: 'invalid_request' });
    await ask({ token: 'x'.repeat(20_000) }).expect(413);
    await app().http.get('/oauth2/introspect').expect(405);
  });

  it('is answered with 503 when the database does not answer, because a homeserver would wait for ever', async () => {
    const session = await app().matrix.register();
    const locker = app().nest.get(DataSource).createQueryRunner();
    await locker.startTransaction();
    await locker.query('LOCK TABLE access_tokens');
    const { body } = await ask({ token: session.accessToken }).timeout(5_000).expect(503);
    expect(body.error).toBe('temporarily_unavailable');
    await locker.rollbackTransaction();
    await locker.release();
    expect(await about(session.accessToken)).toMatchObject({ active: true });
  });

  it('counts as the first use of a refreshed token, so the old refresh token is spent', async () => {
    const old = await app().matrix.register({ refresh_token: true });
    const { body } = await app().matrix.refresh(old.refreshToken!).expect(200);
    await about(body.access_token);
    await app().matrix.refresh(old.refreshToken!).expect(401);
  });
});

describe('Without a secret', () => {
  const closed = useApp();

  it('nobody can ask', async () => {
    const { body } = await closed()
      .http.post('/oauth2/introspect')
      .type('form')
      .send({ token: 'x' })
      .expect(404);
    expect(body).toMatchObject({ errcode: 'M_UNRECOGNIZED' });
  });
});

describe('With an application service', () => {
  it('its token is not active: the homeserver knows it itself', async () => {
    const file = join(await temporaryDirectory(), 'bridge.yaml');
    await writeFile(
      file,
      `id: bridge
as_token: as-token-of-the-bridge
hs_token: hs-token
sender_localpart: bridge
namespaces: { users: [{ exclusive: true, regex: '@irc_.*' }] }
`,
    );
    const bridged = await TestApp.start({ variables: { ...variables, APPSERVICE_FILES: file } });
    try {
      const { body } = await bridged.http
        .post('/oauth2/introspect')
        .set('Authorization', `Bearer ${SECRET}`)
        .type('form')
        .send({ token: 'as-token-of-the-bridge' })
        .expect(200);
      expect(body).toEqual({ active: false });
    } finally {
      await bridged.stop();
    }
  });
});

describe('The secret of the homeserver', () => {
  const load = (own: Record<string, string>) => HomeserverSecret.of(Environment.load(own));

  it('may stand in a file', async () => {
    const file = join(await temporaryDirectory(), 'secret');
    await writeFile(file, `${SECRET}\n`);
    const secret = load({ HOMESERVER_SECRET_FILE: file });
    expect([secret?.is(SECRET), secret?.is(`${SECRET}\n`), load({})]).toEqual([true, false, null]);
    await writeFile(file, 'short');
    expect(() => load({ HOMESERVER_SECRET_FILE: file })).toThrow(
      'HOMESERVER_SECRET_FILE must hold at least 32 ASCII characters without spaces',
    );
  });

  it.each([
    [{ HOMESERVER_SECRET: 'a secret that a homeserver cannot read' }, 'HOMESERVER_SECRET must be'],
    [{ HOMESERVER_SECRET: 'short' }, 'HOMESERVER_SECRET must be at least 32 ASCII characters without spaces'],
    [{ HOMESERVER_SECRET_FILE: '/none' }, 'HOMESERVER_SECRET_FILE cannot be read'],
    [{ HOMESERVER_SECRET: SECRET, HOMESERVER_SECRET_FILE: '/none' }, 'must not both be set'],
    [{ HOMESERVER_SECRET: SECRET, GUESTS: 'allowed' }, 'GUESTS must be refused'],
  ])('must be right: %j', (own, problem) => {
    expect(() => load(own)).toThrow(problem);
    expect(() => load(own)).not.toThrow(SECRET);
  });
});
