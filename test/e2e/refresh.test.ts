import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { type ClientSession, someKeys, V3 } from '../../src/testing/matrix-client.js';
import { census, useApp } from '../support/test-app.js';

const app = useApp();
const SOFT = { errcode: 'M_UNKNOWN_TOKEN', soft_logout: true };

async function begin(): Promise<Required<ClientSession>> {
  return (await app().matrix.register({ refresh_token: true })) as Required<ClientSession>;
}

async function refresh({
  refreshToken,
  ...session
}: Required<ClientSession>): Promise<Required<ClientSession>> {
  const { body } = await app().matrix.refresh(refreshToken).expect(200);
  expect(body).toEqual({
    access_token: expect.stringMatching(/^mxa_/),
    refresh_token: expect.stringMatching(/^mxr_/),
    expires_in_ms: 15 * 60 * 1_000,
  });
  return { ...session, accessToken: body.access_token, refreshToken: body.refresh_token };
}

describe('POST /refresh', () => {
  it('returns a working pair of tokens for the same device', async () => {
    const session = await begin();
    const next = await refresh(session);
    expect(await app().matrix.whoami(next)).toMatchObject({
      status: 200,
      body: { device_id: session.deviceId },
    });
  });

  it('works many times in a row', async () => {
    let session = await begin();
    for (let round = 0; round < 5; round += 1) {
      session = await refresh(session);
      expect(await app().matrix.whoami(session)).toMatchObject({ status: 200 });
    }
  });

  it('answers again if the answer was lost; the newest pair is valid, the lost one is not', async () => {
    const session = await begin();
    const lost = await refresh(session);
    const next = await refresh(session);
    expect(await app().matrix.whoami(lost)).toMatchObject({ status: 401, body: SOFT });
    expect(await app().matrix.whoami(next)).toMatchObject({ status: 200 });
  });

  it('refuses a refresh token after its successor was used, and ends the session but not the device', async () => {
    const session = await begin();
    await app().matrix.uploadKeys(session, someKeys(session)).expect(200);
    const next = await refresh(session);
    expect(await app().matrix.whoami(next)).toMatchObject({ status: 200 });
    app().clock.advance(61_000);
    const replay = await app().matrix.refresh(session.refreshToken).expect(401);
    expect(replay.body).toMatchObject(SOFT);
    expect(await app().matrix.whoami(next)).toMatchObject({ status: 401, body: SOFT });
    expect((await app().matrix.refresh(next.refreshToken).expect(401)).body).toMatchObject(SOFT);
    const [row] = await app().sql('SELECT ended_reason FROM refresh_tokens WHERE user_id = $1', [
      session.userId,
    ]);
    expect(row).toEqual({ ended_reason: 'refresh_replay' });
    const back = await app().matrix.login(session.userId, { device_id: session.deviceId });
    expect(Object.keys(await app().matrix.queryKeys(back, session.userId))).toEqual([session.deviceId]);
  });

  it('refuses a pair that a newer one has replaced, and ends nothing as long as neither was used', async () => {
    const session = await begin();
    const lost = await refresh(session);
    const next = await refresh(session);
    expect((await app().matrix.refresh(lost.refreshToken).expect(401)).body).toMatchObject(SOFT);
    expect(await app().matrix.whoami(next)).toMatchObject({ status: 200 });
    await refresh(next);
  });

  it('keeps the session of three tabs that refresh with one token within a minute, but ends it later', async () => {
    const session = await begin();
    const [one, two, three] = [await refresh(session), await refresh(session), await refresh(session)];
    for (const { refreshToken } of [one, two])
      expect((await app().matrix.refresh(refreshToken).expect(401)).body).toMatchObject(SOFT);
    const next = await refresh(three);
    expect(await app().matrix.whoami(next)).toMatchObject({ status: 200 });
    for (const { refreshToken } of [session, one, two])
      expect((await app().matrix.refresh(refreshToken).expect(401)).body).toMatchObject(SOFT);
    expect(await app().matrix.whoami(next)).toMatchObject({ status: 200 });
    app().clock.advance(61_000);
    await app().matrix.refresh(one.refreshToken).expect(401);
    expect(await app().matrix.whoami(next)).toMatchObject({ status: 401, body: SOFT });
  });

  it('does not accept a refresh token that is forged from an access token', async () => {
    const session = await begin();
    const [, user, rest] = /^mxa_([\w-]*)_([\w-]{54})_/.exec(session.accessToken)!;
    const unsealed = `mxr_${user}_${rest!.slice(0, 22)}${'A'.repeat(32)}`;
    const forged = `${unsealed}_${crc32(unsealed).toString(16).padStart(8, '0')}`;
    await app().matrix.refresh(forged).expect(401);
    expect(await app().matrix.whoami(session)).toMatchObject({ status: 200 });
    await refresh(session);
  });

  it('counts a use of the next refresh token as a use of the successor', async () => {
    const session = await begin();
    const second = await refresh(session);
    const third = await refresh(second);
    app().clock.advance(61_000);
    expect((await app().matrix.refresh(session.refreshToken).expect(401)).body).toMatchObject(SOFT);
    expect(await app().matrix.whoami(third)).toMatchObject({ status: 401, body: SOFT });
  });

  it('refuses a late refresh within a minute of the first use of the successor, and ends nothing', async () => {
    const session = await begin();
    const second = await refresh(session);
    expect(await app().matrix.whoami(second)).toMatchObject({ status: 200 });
    app().clock.advance(30_000);
    const third = await refresh(second);
    expect(await app().matrix.whoami(third)).toMatchObject({ status: 200 });
    app().clock.advance(25_000);
    // Two generations of tokens, each within a minute of the first use of its successor.
    for (const { refreshToken } of [session, second])
      expect((await app().matrix.refresh(refreshToken).expect(401)).body).toMatchObject(SOFT);
    expect(await app().matrix.whoami(third)).toMatchObject({ status: 200 });
    app().clock.advance(10_000);
    expect((await app().matrix.refresh(second.refreshToken).expect(401)).body).toMatchObject(SOFT);
    const fourth = await refresh(third);
    // The oldest one counts as a replay by now.
    await app().matrix.refresh(session.refreshToken).expect(401);
    expect(await app().matrix.whoami(fourth)).toMatchObject({ status: 401, body: SOFT });
  });

  it('keeps the previous access token valid until it expires', async () => {
    const session = await begin();
    const next = await refresh(session);
    expect(await app().matrix.whoami(session)).toMatchObject({ status: 200 });
    expect(await app().matrix.whoami(next)).toMatchObject({ status: 200 });
    expect(await app().matrix.whoami(session)).toMatchObject({ status: 200 });
  });

  it('serialises concurrent refreshes: exactly one pair stays valid', async () => {
    const session = await begin();
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => app().matrix.refresh(session.refreshToken)),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200));
    const alive = [];
    for (const { body } of answers) {
      const pair = { ...session, accessToken: body.access_token, refreshToken: body.refresh_token };
      if ((await app().matrix.whoami(pair)).status === 200) alive.push(pair);
    }
    expect(alive).toHaveLength(1);
    await app().matrix.refresh(alive[0]!.refreshToken).expect(200);
  });

  it('never leaves tokens for a device that is being logged out', async () => {
    for (let round = 0; round < 10; round += 1) {
      const session = await begin();
      const [logout, refreshed] = await Promise.all([
        app().matrix.logout(session),
        app().matrix.refresh(session.refreshToken),
      ]);
      expect(logout.status).toBe(200);
      expect([200, 401]).toContain(refreshed.status);
      expect(await census(app(), session.userId)).toMatchObject({
        devices: 0,
        access_tokens: 0,
        refresh_tokens: 0,
      });
    }
  });

  it('deletes access tokens that expired long ago, and still refuses them with soft_logout', async () => {
    const first = await begin();
    let session = first;
    for (let day = 0; day < 4; day += 1) {
      app().clock.advance(25 * 60 * 60 * 1_000);
      session = await refresh(session);
    }
    const { access_tokens } = await census(app(), first.userId);
    expect(access_tokens).toBeLessThanOrEqual(2);
    expect(await app().matrix.whoami(first)).toMatchObject({ status: 401, body: SOFT });
  });

  it.each(['garbage', 'mxr_YWxpY2U_aaaa', ''])('refuses "%s" without soft_logout', async (token) => {
    const answer = await app().matrix.refresh(token).expect(401);
    expect(answer.body).toEqual({ errcode: 'M_UNKNOWN_TOKEN', error: expect.any(String) });
  });

  it('refuses an access token, and a body without a token', async () => {
    const session = await begin();
    await app().matrix.refresh(session.accessToken).expect(401);
    const answer = await app().http.post(`${V3}/refresh`).send({}).expect(400);
    expect(answer.body).toMatchObject({ errcode: 'M_MISSING_PARAM' });
  });
});
