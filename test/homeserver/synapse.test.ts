import { describe, expect, it } from 'vitest';
import { type ClientSession, V3 } from '../../src/testing/matrix-client.js';
import { usePair } from '../support/pair.js';

const pair = usePair({ variables: { SERVER_ADMINS: '@admin:localhost', ACCESS_TOKEN_TTL: '5m' } });
const app = () => pair().app;
const synapse = () => pair().synapse;

const whoami = (session: ClientSession) => synapse().as(session, 'get', `${V3}/account/whoami`);
const devicesThere = async (session: ClientSession) => {
  const { body } = await synapse().as(session, 'get', `${V3}/devices`).expect(200);
  return (body.devices as { device_id: string; display_name?: string }[]).toSorted((one, other) =>
    one.device_id < other.device_id ? -1 : 1,
  );
};

describe('A real Synapse that delegates its authentication', () => {
  it('serves a user from the moment of the answer to the registration', async () => {
    const own = await app().matrix.register({ initial_device_display_name: 'Phone' });
    const { body } = await whoami(own).expect(200);
    expect(body).toMatchObject({ user_id: own.userId, device_id: own.deviceId });
    expect(await devicesThere(own)).toMatchObject([{ device_id: own.deviceId, display_name: 'Phone' }]);
    const room = await synapse().as(own, 'post', `${V3}/createRoom`).send({ name: 'Tea party' });
    expect([room.status, room.body]).toEqual([200, { room_id: expect.stringMatching(/^!/) }]);
    const sent = await synapse()
      .as(own, 'put', `${V3}/rooms/${room.body.room_id}/send/m.room.message/1`)
      .send({ msgtype: 'm.text', body: 'Hello' });
    expect(sent.status).toBe(200);
    await synapse().as(own, 'get', `${V3}/sync?timeout=0`).expect(200);
  });

  it('refuses a token from the moment of the answer to its logout, although it knew it a moment ago', async () => {
    const { userId } = await app().matrix.register();
    for (let round = 0; round < 20; round += 1) {
      const own = await app().matrix.login(userId);
      await whoami(own).expect(200);
      await app().matrix.logout(own).expect(200);
      expect((await whoami(own).expect(401)).body).toMatchObject({ errcode: 'M_UNKNOWN_TOKEN' });
    }
  });
});
