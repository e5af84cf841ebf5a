import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import request from 'supertest';
import { describe, expect, it } from 'vitest';
import { PASSWORD, uniqueUsername, V3 } from '../../src/testing/matrix-client.js';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { usePair } from '../support/pair.js';
import { TestApp } from '../support/test-app.js';

const AS_TOKEN = 'as-token-of-the-bridge';
const registration = join(await temporaryDirectory(), 'bridge.yaml');
await writeFile(
  registration,
  `id: bridge
url: null
as_token: ${AS_TOKEN}
hs_token: hs-token
sender_localpart: bridge
rate_limited: false
namespaces: { users: [{ exclusive: true, regex: '@irc_.*' }], aliases: [], rooms: [] }
`,
);

const pair = usePair({
  variables: { SERVER_ADMINS: '@admin:localhost', APPSERVICE_FILES: registration },
  synapse: { app_service_config_files: [registration] },
});

describe('An operator', () => {
  it('sees that the two servers work together', async () => {
    const admin = await pair().app.createUser('admin');
    const status = () =>
      pair()
        .app.http.get('/_session/v1/admin/homeserver')
        .auth(admin.accessToken, { type: 'bearer' })
        .expect(200);
    expect((await status()).body).toEqual({ up: true, problems: [], lag_ms: 0 });
    pair().relay.become('down');
    const own = await pair()
      .app.matrix.login('@admin:localhost')
      .catch(() => null);
    expect(own).toBeNull();
    const { body } = await status();
    expect(body.problems).toEqual([expect.stringContaining('Synapse cannot be called')]);
    pair().relay.become('well');
    await expect.poll(async () => (await status()).body.up, { timeout: 20_000 }).toBe(true);
  });

  it('is told of a wrong secret, and nobody signs in with it', async () => {
    const wrong = await TestApp.start({
      variables: {
        HOMESERVER_URL: pair().synapse.url,
        HOMESERVER_SECRET: 'a-secret-that-the-other-side-does-not-know',
        SERVER_ADMINS: '@admin:localhost',
      },
      database: pair().app.database,
    });
    try {
      const { accessToken } = await pair().matrix.login('@admin:localhost');
      const { body } = await wrong.http
        .get('/_session/v1/admin/homeserver')
        .auth(accessToken, { type: 'bearer' })
        .expect(200);
      expect(body.problems).toEqual([expect.stringContaining('the same secret')]);
      await wrong.http
        .post(`${V3}/register`)
        .send({ username: uniqueUsername(), password: PASSWORD, auth: { type: 'm.login.dummy' } })
        .expect(503);
    } finally {
      await wrong.stop();
    }
  });

  it('is an administrator at Synapse, too, and others are not', async () => {
    const [admin, other] = [await pair().matrix.login('@admin:localhost'), await pair().matrix.register()];
    await pair().synapse.as(admin, 'get', '/_synapse/admin/v1/rooms?limit=1').expect(200);
    await pair().synapse.as(other, 'get', '/_synapse/admin/v1/rooms?limit=1').expect(403);
  });

  it('sees when a device was last used at Synapse', async () => {
    const own = await pair().matrix.register();
    pair().app.clock.advance(60_000);
    await pair().synapse.as(own, 'get', `${V3}/sync?timeout=0`).expect(200);
    const now = pair().app.clock.now().getTime();
    const { body } = await pair().app.matrix.call(own, 'get', `/devices/${own.deviceId}`).expect(200);
    expect(body.last_seen_ts).toBeGreaterThan(now - 30_000);
  });
});

describe('An application service', () => {
  const asService = (method: 'get' | 'post' | 'put' | 'delete', path: string) =>
    request(pair().nginx.url)[method](`${V3}${path}`).auth(AS_TOKEN, { type: 'bearer' });

  it('registers its users, who exist there, and makes and deletes their devices', async () => {
    const register = { type: 'm.login.application_service', username: 'irc_alice', inhibit_login: true };
    await asService('post', '/register').send(register).expect(200);
    const there = await pair().synapse.ask('/_synapse/mas/query_user?localpart=irc_alice').expect(200);
    expect(there.body).toMatchObject({ user_id: '@irc_alice:localhost' });
    const as = '?user_id=@irc_alice:localhost';
    await asService('put', `/devices/BRIDGE${as}`).send({ display_name: 'IRC' }).expect(201);
    const devices = async () =>
      (await asService('get', `/devices${as}`).expect(200)).body.devices.map(
        ({ device_id }: { device_id: string }) => device_id,
      );
    expect(await devices()).toEqual(['BRIDGE']);
    const atSynapse = () =>
      request(pair().synapse.url).get(`${V3}/devices/BRIDGE${as}`).auth(AS_TOKEN, { type: 'bearer' });
    expect((await atSynapse()).body).toMatchObject({ device_id: 'BRIDGE', display_name: 'IRC' });
    await asService('delete', `/devices/BRIDGE${as}`).send({}).expect(200);
    expect((await atSynapse()).status).toBe(404);
    await asService('post', `/createRoom${as}`).send({}).expect(200);
    const { body } = await asService('get', '/sync?timeout=0&user_id=@irc_nobody:localhost').expect(403);
    expect(body.errcode).toBe('M_FORBIDDEN');
  });

  it('keeps its names to itself', async () => {
    const { body } = await pair()
      .app.http.post(`${V3}/register`)
      .send({ username: 'irc_bob', password: PASSWORD, auth: { type: 'm.login.dummy' } })
      .expect(400);
    expect(body.errcode).toBe('M_EXCLUSIVE');
  });
});
