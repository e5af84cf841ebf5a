import { afterEach, describe, expect, it } from 'vitest';
import { type ClientSession, PASSWORD, uniqueUsername, V3 } from '../../src/testing/matrix-client.js';
import { Homeserver } from '../../src/index.js';
import type { Mood } from '../support/moody-relay.js';
import { usePair } from '../support/pair.js';

const pair = usePair({
  variables: { HOMESERVER_TIMEOUT: '1s', HOMESERVER_LOGIN_WAIT: '2s' },
});
const matrix = () => pair().matrix;
const become = (mood: Mood) => pair().relay.become(mood);

const devicesThere = async (session: ClientSession): Promise<string[]> => {
  const { body } = await pair().synapse.as(session, 'get', `${V3}/devices`).expect(200);
  return body.devices.map(({ device_id }: { device_id: string }) => device_id).toSorted();
};
/** Resolves once the service has noticed that Synapse is well. */
const well = async () => {
  become('well');
  await expect
    .poll(
      () =>
        pair()
          .app.http.post(`${V3}/register`)
          .send({ username: uniqueUsername() })
          .then(({ status }) => status),
      {
        timeout: 20_000,
      },
    )
    .toBe(401);
};
/** A login, which fails while Synapse is ill. */
const login = (userId: string, device: object = {}) =>
  pair()
    .app.http.post(`${V3}/login`)
    .send({
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: userId },
      password: PASSWORD,
      ...device,
    });
const loginStatus = async (userId: string, deviceId: string) =>
  (await login(userId, { device_id: deviceId })).status;
const ILL: [Mood][] = [['down'], ['hanging'], ['broken'], ['slow']];

afterEach(well);

describe('While Synapse is ill', () => {
  it.each(ILL)(
    '%s: a logout is answered within 3 s, and arrives within 30 s of the end of it',
    async (mood) => {
      const own = await matrix().register();
      const stays = await matrix().login(own.userId);
      become(mood);
      const began = performance.now();
      await matrix().logout(own).expect(200);
      expect(performance.now() - began).toBeLessThan(3_000);
      expect(await pair().app.matrix.whoami(own)).toMatchObject({ status: 401 });
      become('well');
      await expect
        .poll(() => devicesThere(stays), { timeout: 30_000, interval: 200 })
        .toEqual([stays.deviceId]);
    },
    60_000,
  );

  it.each(ILL)(
    '%s: a login fails with 503 and leaves nothing, or succeeds',
    async (mood) => {
      const own = await matrix().register();
      become(mood);
      const answer = await login(own.userId);
      if (mood === 'slow') expect([200, 503]).toContain(answer.status);
      else {
        expect([answer.status, answer.body.errcode]).toEqual([503, 'M_UNKNOWN']);
        expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
        expect(await pair().app.matrix.devices(own)).toEqual([{ device_id: own.deviceId }]);
      }
      await well();
      expect((await login(own.userId)).status).toBe(200);
    },
    60_000,
  );

  it('down: a registration fails with 503, and the name stays free', async () => {
    const username = uniqueUsername();
    become('down');
    const { body } = await pair()
      .app.http.post(`${V3}/register`)
      .send({ username, password: PASSWORD, auth: { type: 'm.login.dummy' } })
      .expect(503);
    expect(body.errcode).toBe('M_UNKNOWN');
    await well();
    await matrix().register({ username });
  }, 60_000);

  it('hanging: nobody waits any longer once a few have waited', async () => {
    const sessions = await Promise.all(Array.from({ length: 8 }, () => matrix().register()));
    become('hanging');
    await Promise.all(sessions.map((session) => matrix().logout(session).expect(200)));
    await expect.poll(() => pair().app.nest.get(Homeserver).isUp, { timeout: 20_000 }).toBe(false);
    await well();
    expect(pair().app.nest.get(Homeserver).isUp).toBe(true);
  }, 60_000);

  it('down: a login on the same device ID after the end is a new device, with nothing of the old one', async () => {
    const own = await matrix().register();
    const stays = await matrix().login(own.userId);
    await matrix()
      .uploadKeys(own, { one_time_keys: { 'signed_curve25519:AAAAAQ': { key: 'old', signatures: {} } } })
      .expect(200);
    become('down');
    await matrix().logout(own).expect(200);
    become('well');
    // The deletion still waits for its next attempt; the login makes it due.
    await expect.poll(() => loginStatus(own.userId, own.deviceId), { timeout: 20_000 }).toBe(200);
    expect(await devicesThere(stays)).toEqual([own.deviceId, stays.deviceId].toSorted());
    const claim = { one_time_keys: { [own.userId]: { [own.deviceId]: 'signed_curve25519' } } };
    const { body } = await matrix().call(stays, 'post', '/keys/claim').send(claim).expect(200);
    expect(body.one_time_keys).toEqual({});
    pair().app.clock.advance(6_000);
    await pair().app.drain();
    expect(await devicesThere(stays)).toEqual([own.deviceId, stays.deviceId].toSorted());
  }, 60_000);

  it('standing still: deletions that were given up, but are carried out later, do not take a new device', async () => {
    const own = await matrix().register();
    const stays = await matrix().login(own.userId);
    for (let round = 0; round < 3; round += 1) {
      const session = await matrix().login(own.userId, { device_id: 'PHONE' });
      pair().synapse.pause();
      await pair().app.matrix.logout(session).timeout(3_000).expect(200);
      // Some attempts time out before it goes on.
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      pair().synapse.resume();
      await expect.poll(() => loginStatus(own.userId, 'PHONE'), { timeout: 30_000 }).toBe(200);
      await new Promise((resolve) => setTimeout(resolve, 500));
      expect(await devicesThere(stays)).toContain('PHONE');
    }
  }, 120_000);
});
