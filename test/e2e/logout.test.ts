import { describe, expect, it } from 'vitest';
import { asItIs, someKeys, V3 } from '../../src/testing/matrix-client.js';
import { census, NOTHING, useApp } from '../support/test-app.js';

const app = useApp();
const HOUR = 60 * 60 * 1_000;

describe.each(['logout', 'logout/all'])('POST /%s', (endpoint) => {
  const path = `${V3}/${endpoint}`;
  const post = (token: string) => app().http.post(path).auth(token, { type: 'bearer' });

  it('answers 200 with an empty object, and the token no longer works', async () => {
    const session = await app().matrix.register();
    const answer = await post(session.accessToken).expect(200);
    expect(answer.body).toEqual({});
    expect(await app().matrix.whoami(session)).toMatchObject({
      status: 401,
      body: { errcode: 'M_UNKNOWN_TOKEN' },
    });
  });

  it('deletes device, device keys, one-time keys, fallback keys and refresh token', async () => {
    const session = await app().matrix.register({ refresh_token: true });
    await app().matrix.uploadKeys(session, someKeys(session)).expect(200);
    const before = {
      ...NOTHING,
      devices: 1,
      access_tokens: 1,
      refresh_tokens: 1,
      device_keys: 1,
      one_time_keys: 3,
    };
    expect(await census(app(), session.userId)).toEqual({ ...before, fallback_keys: 1 });
    await post(session.accessToken).expect(200);
    expect(await census(app(), session.userId)).toEqual(NOTHING);
  });

  it('ends the refresh token without soft_logout, because the device is deleted', async () => {
    const session = await app().matrix.register({ refresh_token: true });
    await post(session.accessToken).expect(200);
    const answer = await app().matrix.refresh(session.refreshToken!).expect(401);
    expect(answer.body).toEqual({ errcode: 'M_UNKNOWN_TOKEN', error: expect.any(String) });
  });

  it('does not affect other users', async () => {
    const session = await app().matrix.register();
    const other = await app().matrix.register();
    await app().matrix.uploadKeys(other, someKeys(other)).expect(200);
    const before = await census(app(), other.userId);
    await post(session.accessToken).expect(200);
    expect(await census(app(), other.userId)).toEqual(before);
    expect(await app().matrix.whoami(other)).toMatchObject({ status: 200 });
  });

  it('answers a second call with 401 M_UNKNOWN_TOKEN, without soft_logout', async () => {
    const session = await app().matrix.register();
    await post(session.accessToken).expect(200);
    const answer = await post(session.accessToken).expect(401);
    expect(answer.body).toEqual({ errcode: 'M_UNKNOWN_TOKEN', error: expect.any(String) });
  });

  it('accepts an expired token, which other endpoints refuse with soft_logout', async () => {
    const session = await app().matrix.register({ refresh_token: true });
    app().clock.advance(HOUR);
    expect(await app().matrix.whoami(session)).toMatchObject({
      status: 401,
      body: { errcode: 'M_UNKNOWN_TOKEN', soft_logout: true },
    });
    await post(session.accessToken).expect(200);
    expect(await census(app(), session.userId)).toEqual(NOTHING);
  });

  it('refuses a call without a token with 401 M_MISSING_TOKEN', async () => {
    const answer = await app().http.post(path).expect(401);
    expect(answer.body).toEqual({ errcode: 'M_MISSING_TOKEN', error: expect.any(String) });
  });

  it.each(['garbage', 'mxa_YWxpY2U_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_00000000', 'x'.repeat(5_000)])(
    'refuses the unknown token %.60s with 401 M_UNKNOWN_TOKEN',
    async (token) => {
      const answer = await post(token).expect(401);
      expect(answer.body).toEqual({ errcode: 'M_UNKNOWN_TOKEN', error: expect.any(String) });
    },
  );

  it('refuses a refresh token in place of an access token', async () => {
    const session = await app().matrix.register({ refresh_token: true });
    const answer = await post(session.refreshToken!).expect(401);
    expect(answer.body).toMatchObject({ errcode: 'M_UNKNOWN_TOKEN' });
    expect(await app().matrix.whoami(session)).toMatchObject({ status: 200 });
  });

  it.each(['Bearer', 'Bearer ', 'Bearer a b', 'Basic YWxpY2U6cGFzcw==', 'token'])(
    'refuses the malformed header "%s" with 401 M_MISSING_TOKEN',
    async (header) => {
      const answer = await app().http.post(path).set('Authorization', header).expect(401);
      expect(answer.body).toMatchObject({ errcode: 'M_MISSING_TOKEN' });
    },
  );

  it('accepts "bearer" in lower case', async () => {
    const session = await app().matrix.register();
    await app().http.post(path).set('Authorization', `bearer ${session.accessToken}`).expect(200, {});
  });

  it('accepts the token as a query parameter', async () => {
    const session = await app().matrix.register();
    await app().http.post(path).query({ access_token: session.accessToken }).expect(200, {});
    expect(await app().matrix.whoami(session)).toMatchObject({ status: 401 });
  });

  it('refuses an unknown token in the query with 401 M_UNKNOWN_TOKEN', async () => {
    const answer = await app().http.post(path).query({ access_token: 'never-issued' }).expect(401);
    expect(answer.body).toMatchObject({ errcode: 'M_UNKNOWN_TOKEN' });
  });

  it('refuses two credentials at once and ends nothing', async () => {
    const { accessToken, ...session } = await app().matrix.register();
    const twice = [
      post(accessToken).query({ access_token: accessToken }),
      app().http.post(`${path}?access_token=${accessToken}&access_token=${accessToken}`),
      app()
        .http.post(path)
        .set('Authorization', [`Bearer ${accessToken}`, `Bearer ${accessToken}`] as never),
    ];
    for (const attempt of twice) {
      expect((await attempt.expect(401)).body).toMatchObject({ errcode: 'M_MISSING_TOKEN' });
    }
    expect(await app().matrix.whoami({ accessToken, ...session })).toMatchObject({ status: 200 });
  });

  it('never takes the token from a body', async () => {
    const session = await app().matrix.register();
    const answer = await app().http.post(path).send({ access_token: session.accessToken }).expect(401);
    expect(answer.body).toMatchObject({ errcode: 'M_MISSING_TOKEN' });
    const form = await app()
      .http.post(path)
      .type('form')
      .send({ access_token: session.accessToken })
      .expect(401);
    expect(form.body).toMatchObject({ errcode: 'M_MISSING_TOKEN' });
  });

  it.each([
    ['nothing', undefined, undefined],
    ['an empty object', 'application/json', '{}'],
    ['broken JSON', 'application/json', '{"broken'],
    ['no JSON at all', 'text/plain', 'good bye'],
    ['invalid UTF-8', 'application/json', Buffer.from([0xff, 0xfe, 0x00])],
    ['an unknown encoding', 'application/x-unknown', 'x'.repeat(2_000_000)],
  ])('does not read the body: %s', async (_, type, body) => {
    const session = await app().matrix.register();
    const call = post(session.accessToken);
    if (type !== undefined) call.set('Content-Type', type);
    await asItIs(call).send(body).expect(200, {});
  });

  it('has an older alias under r0', async () => {
    const session = await app().matrix.register();
    await app()
      .http.post(`/_matrix/client/r0/${endpoint}`)
      .auth(session.accessToken, { type: 'bearer' })
      .expect(200, {});
    expect(await app().matrix.whoami(session)).toMatchObject({ status: 401 });
  });

  it('accepts only POST: other methods are 405 M_UNRECOGNIZED', async () => {
    const session = await app().matrix.register();
    for (const method of ['get', 'put', 'delete'] as const) {
      const answer = await app().http[method](path).auth(session.accessToken, { type: 'bearer' }).expect(405);
      expect(answer.body).toMatchObject({ errcode: 'M_UNRECOGNIZED' });
    }
    expect(await app().matrix.whoami(session)).toMatchObject({ status: 200 });
  });

  it('leaves neither name nor keys for a device that is created again with the old ID', async () => {
    const session = await app().matrix.register({
      device_id: 'PHONE',
      initial_device_display_name: 'My phone',
    });
    await app().matrix.uploadKeys(session, someKeys(session)).expect(200);
    await post(session.accessToken).expect(200);
    const again = await app().matrix.login(session.userId, { device_id: 'PHONE' });
    expect(await app().matrix.devices(again)).toEqual([{ device_id: 'PHONE' }]);
    expect(await app().matrix.queryKeys(again, again.userId)).toEqual({});
    const counts = await app().matrix.uploadKeys(again, {}).expect(200);
    expect(counts.body).toEqual({ one_time_key_counts: {} });
  });
});

describe('POST /logout', () => {
  it('does not affect the other devices of the user', async () => {
    const phone = await app().matrix.register({ device_id: 'PHONE' });
    const laptop = await app().matrix.login(phone.userId, { device_id: 'LAPTOP', refresh_token: true });
    await app().matrix.uploadKeys(laptop, someKeys(laptop)).expect(200);
    const before = await census(app(), phone.userId, 'LAPTOP');
    await app().matrix.logout(phone).expect(200);
    expect(await census(app(), phone.userId, 'LAPTOP')).toEqual(before);
    expect(await census(app(), phone.userId, 'PHONE')).toEqual(NOTHING);
    expect(await app().matrix.devices(laptop)).toEqual([{ device_id: 'LAPTOP' }]);
  });

  it('ends every token of the device, including one that a refresh replaced', async () => {
    const session = await app().matrix.register({ refresh_token: true });
    const { body } = await app().matrix.refresh(session.refreshToken!).expect(200);
    await app()
      .matrix.logout({ ...session, accessToken: body.access_token })
      .expect(200);
    expect(await app().matrix.whoami(session)).toMatchObject({ status: 401 });
    expect(await census(app(), session.userId)).toEqual(NOTHING);
  });
});

describe('POST /logout/all', () => {
  it('ends every session of the user, whichever device calls', async () => {
    const phone = await app().matrix.register();
    const laptop = await app().matrix.login(phone.userId, { refresh_token: true });
    const tablet = await app().matrix.login(phone.userId);
    for (const session of [phone, laptop, tablet]) {
      await app().matrix.uploadKeys(session, someKeys(session)).expect(200);
    }
    await app().matrix.logoutAll(laptop).expect(200);
    for (const session of [phone, laptop, tablet]) {
      expect(await app().matrix.whoami(session)).toMatchObject({ status: 401 });
    }
    expect(await census(app(), phone.userId)).toEqual(NOTHING);
  });

  it('keeps the account, so the user can log in again', async () => {
    const session = await app().matrix.register();
    await app().matrix.logoutAll(session).expect(200);
    const again = await app().matrix.login(session.userId);
    expect(await app().matrix.whoami(again)).toMatchObject({
      status: 200,
      body: { user_id: session.userId },
    });
  });
});
