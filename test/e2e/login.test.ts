import { describe, expect, it } from 'vitest';
import { PASSWORD, someKeys, V3 } from '../../src/testing/matrix-client.js';
import { census, useApp } from '../support/test-app.js';

const app = useApp();
const login = (body: object) => app().http.post(`${V3}/login`).send(body);
const byPassword = (user: string, password = PASSWORD) => ({
  type: 'm.login.password',
  identifier: { type: 'm.id.user', user },
  password,
});

describe('GET /login', () => {
  it('lists the supported types', async () => {
    const answer = await app().http.get(`${V3}/login`).expect(200);
    expect(answer.body).toEqual({
      flows: [
        { type: 'm.login.password' },
        { type: 'm.login.token', get_login_token: true },
        { type: 'm.login.application_service' },
      ],
    });
  });
});

describe('POST /login', () => {
  it('starts a session on a new device', async () => {
    const { userId } = await app().matrix.register();
    const { body } = await login({ ...byPassword(userId), initial_device_display_name: 'Laptop' }).expect(
      200,
    );
    expect(body).toEqual({
      user_id: userId,
      device_id: expect.stringMatching(/^[A-Z]{10}$/),
      home_server: 'localhost',
      access_token: expect.stringMatching(/^mxa_/),
    });
    const session = { userId, deviceId: body.device_id, accessToken: body.access_token };
    expect(await app().matrix.devices(session)).toContainEqual({
      device_id: body.device_id,
      display_name: 'Laptop',
    });
  });

  it('returns a refresh token and an expiring access token to a client that asks for them', async () => {
    const { userId } = await app().matrix.register();
    const { body } = await login({ ...byPassword(userId), refresh_token: true }).expect(200);
    expect(body).toMatchObject({
      refresh_token: expect.stringMatching(/^mxr_/),
      expires_in_ms: 15 * 60 * 1_000,
    });
  });

  it('accepts a localpart, a user ID in any case, and the deprecated top-level user', async () => {
    const { userId } = await app().matrix.register();
    const localpart = userId.slice(1, userId.indexOf(':'));
    for (const user of [localpart, localpart.toUpperCase(), `@${localpart.toUpperCase()}:localhost`]) {
      expect((await login(byPassword(user)).expect(200)).body.user_id).toBe(userId);
    }
    const old = { type: 'm.login.password', user: userId, password: PASSWORD };
    expect((await login(old).expect(200)).body.user_id).toBe(userId);
  });

  it('answers an unknown user, a wrong password and another server alike', async () => {
    const { userId } = await app().matrix.register();
    const refusals = [
      byPassword(userId, 'wrong'),
      byPassword('@nobody:localhost'),
      byPassword('@alice:elsewhere.org'),
    ];
    const answers = await Promise.all(refusals.map((body) => login(body).expect(403)));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(answers[0]!.body).toMatchObject({ errcode: 'M_FORBIDDEN' });
  });

  it('on a known device ends its earlier tokens, and keeps its keys and its name', async () => {
    const first = await app().matrix.register({
      device_id: 'D',
      initial_device_display_name: 'Old',
      refresh_token: true,
    });
    await app().matrix.uploadKeys(first, someKeys(first)).expect(200);
    const second = await app().matrix.login(first.userId, {
      device_id: 'D',
      initial_device_display_name: 'New',
    });
    // With soft_logout, because the device still exists, and an older copy of the client may still have its keys.
    const soft = { errcode: 'M_UNKNOWN_TOKEN', soft_logout: true };
    expect(await app().matrix.whoami(first)).toMatchObject({ status: 401, body: soft });
    expect((await app().matrix.refresh(first.refreshToken!).expect(401)).body).toMatchObject(soft);
    await app().matrix.logout(first).expect(401);
    expect(await app().matrix.devices(second)).toEqual([{ device_id: 'D', display_name: 'Old' }]);
    expect(Object.keys(await app().matrix.queryKeys(second, first.userId))).toEqual(['D']);
    expect(await census(app(), first.userId, 'D')).toMatchObject({
      access_tokens: 1,
      refresh_tokens: 0,
      one_time_keys: 3,
    });
  });

  it.each([
    ['no type', { password: PASSWORD }, 'M_MISSING_PARAM'],
    ['an unknown type', { ...byPassword('alice'), type: 'm.login.magic' }, 'M_UNKNOWN'],
    ['no identifier', { type: 'm.login.password', password: PASSWORD }, 'M_MISSING_PARAM'],
    ['an unknown identifier', { ...byPassword('a'), identifier: { type: 'm.id.star' } }, 'M_UNKNOWN'],
    [
      'an identifier without user',
      { ...byPassword('a'), identifier: { type: 'm.id.user' } },
      'M_MISSING_PARAM',
    ],
    [
      'a user that is no string',
      { ...byPassword('a'), identifier: { type: 'm.id.user', user: 7 } },
      'M_BAD_JSON',
    ],
    ['no password', { type: 'm.login.password', user: 'alice' }, 'M_MISSING_PARAM'],
    [
      'a device ID that is too long',
      { ...byPassword('alice'), device_id: 'x'.repeat(256) },
      'M_INVALID_PARAM',
    ],
    [
      'a device ID of too many bytes',
      { ...byPassword('alice'), device_id: 'ä'.repeat(300) },
      'M_INVALID_PARAM',
    ],
    ['the device ID that means all', { ...byPassword('alice'), device_id: '*' }, 'M_INVALID_PARAM'],
    ['a device ID that no path can name', { ...byPassword('alice'), device_id: '..' }, 'M_INVALID_PARAM'],
  ])('refuses %s with 400', async (_, body, errcode) => {
    const answer = await login(body).expect(400);
    expect(answer.body).toEqual({ errcode, error: expect.any(String) });
  });

  it('treats an empty device ID as absent', async () => {
    const { userId } = await app().matrix.register();
    const { body } = await login({ ...byPassword(userId), device_id: '' }).expect(200);
    expect(body.device_id).toMatch(/^[A-Z]{10}$/);
  });
});
