import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ClientSession, V3 } from '../../src/testing/matrix-client.js';
import { Synapse } from '../support/synapse.js';
import { useApp } from '../support/test-app.js';

// Runs where SYNAPSE names a Python with Synapse: in CI, and nowhere without one.
const SECRET = 'a-secret-that-this-service-and-Synapse-share';
const app = useApp({ variables: { HOMESERVER_SECRET: SECRET, SERVER_ADMINS: '@admin:localhost' } });
let synapse: Synapse;

beforeAll(async () => {
  synapse = await Synapse.start(await app().nest.getUrl(), SECRET);
}, 90_000);
afterAll(() => synapse?.stop());

const whoami = ({ accessToken }: ClientSession) =>
  synapse.http.get(`${V3}/account/whoami`).auth(accessToken, { type: 'bearer' });

/** A session whose user and device Synapse knows. */
async function session(): Promise<ClientSession> {
  const made = await app().matrix.register();
  const localpart = made.userId.slice(1, made.userId.indexOf(':'));
  await synapse.tell('provision_user', { localpart });
  await synapse.tell('upsert_device', { localpart, device_id: made.deviceId });
  return made;
}

describe('A real Synapse that delegates its authentication', () => {
  it('serves the tokens of this service, as their user and device', async () => {
    const own = await session();
    const { body } = await whoami(own).expect(200);
    expect(body).toMatchObject({ user_id: own.userId, device_id: own.deviceId });
    const room = await synapse.http
      .post(`${V3}/createRoom`)
      .auth(own.accessToken, { type: 'bearer' })
      .send({ name: 'Tea party' });
    expect([room.status, room.body]).toEqual([200, { room_id: expect.stringMatching(/^!/) }]);
  });

  it('refuses a token that has ended before it asked', async () => {
    const own = await session();
    await app().matrix.logout(own).expect(200);
    const { body } = await whoami(own).expect(401);
    expect(body).toMatchObject({ errcode: 'M_UNKNOWN_TOKEN', soft_logout: false });
  });

  it('tells the clients of a locked user to come back later, and serves them once the lock is lifted', async () => {
    const [own, admin] = [await session(), await app().createUser('admin')];
    const lock = (locked: boolean) =>
      app()
        .http.put(`/_matrix/client/v1/admin/lock/${own.userId}`)
        .auth(admin.accessToken, { type: 'bearer' })
        .send({ locked })
        .expect(200);
    await lock(true);
    await whoami(own).expect(503);
    await lock(false);
    await whoami(own).expect(200);
  });
});
