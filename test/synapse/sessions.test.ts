import { describe, expect, it } from 'vitest';
import { V3, passwordOf, someKeys } from '../../src/testing/matrix-client.js';
import { usePair } from '../support/pair.js';

const pair = usePair({ variables: { ACCESS_TOKEN_TTL: '5m' } });
const matrix = () => pair().matrix;

describe('A session that Synapse trusts', () => {
  it('syncs, makes a room, sends and claims keys from the moment of its answer', async () => {
    const own = await matrix().register({ initial_device_display_name: 'Phone' });
    const { body: whoami } = await pair().synapse.as(own, 'get', `${V3}/account/whoami`).expect(200);
    expect(whoami).toMatchObject({ user_id: own.userId, device_id: own.deviceId });
    await matrix().call(own, 'get', '/sync?timeout=0').expect(200);
    const room = await matrix().call(own, 'post', '/createRoom').send({ name: 'Tea party' }).expect(200);
    await matrix()
      .call(own, 'put', `/rooms/${room.body.room_id}/send/m.room.message/1`)
      .send({ msgtype: 'm.text', body: 'Hello' })
      .expect(200);
    await matrix().uploadKeys(own, someKeys(own)).expect(200);
    const other = await matrix().login(own.userId, { initial_device_display_name: 'Laptop' });
    const claim = { one_time_keys: { [own.userId]: { [own.deviceId]: 'signed_curve25519' } } };
    const { body: claimed } = await matrix().call(other, 'post', '/keys/claim').send(claim).expect(200);
    expect(Object.keys(claimed.one_time_keys[own.userId][own.deviceId])).toHaveLength(1);
    const { body: there } = await pair().synapse.as(own, 'get', `${V3}/devices`).expect(200);
    expect(new Set(there.devices.map(({ display_name }: Record<string, string>) => display_name))).toEqual(
      new Set(['Phone', 'Laptop']),
    );
  });

  it('goes on with the token of a refresh', async () => {
    const own = await matrix().register({ refresh_token: true });
    await matrix().call(own, 'get', '/sync?timeout=0').expect(200);
    const { body } = await matrix().refresh(own.refreshToken!).expect(200);
    await matrix()
      .call({ ...own, accessToken: body.access_token }, 'get', '/sync?timeout=0')
      .expect(200);
  });

  it('has the name there that it gets here', async () => {
    const own = await matrix().register();
    await matrix().call(own, 'put', `/devices/${own.deviceId}`).send({ display_name: 'Kitchen' }).expect(200);
    const { body } = await pair().synapse.as(own, 'get', `${V3}/devices/${own.deviceId}`).expect(200);
    expect(body.display_name).toBe('Kitchen');
  });

  it('has its keys at Synapse alone', async () => {
    const own = await matrix().register();
    for (const path of ['upload', 'query', 'claim', 'signatures/upload']) {
      const { body } = await pair().app.matrix.call(own, 'post', `/keys/${path}`).send({}).expect(404);
      expect(body.errcode).toBe('M_UNRECOGNIZED');
    }
  });

  it('may replace its cross-signing keys with the password', async () => {
    const own = await matrix().register();
    const keysOf = (key: string) => ({
      master_key: {
        user_id: own.userId,
        usage: ['master'],
        keys: { [`ed25519:${key}`]: key },
      },
    });
    const upload = (body: object) => matrix().call(own, 'post', '/keys/device_signing/upload').send(body);
    const [first, second] = [keysOf('a'.repeat(43)), keysOf('b'.repeat(43))];
    await upload(first).expect(200);
    await upload(first).expect(200);
    const { body: asked } = await upload(second).expect(401);
    expect(asked.flows).toEqual([{ stages: ['m.login.password'] }]);
    const wrong = { ...passwordOf(own, 'wrong'), session: asked.session };
    await upload({ ...second, auth: wrong }).expect(401);
    await upload({ ...second, auth: { ...passwordOf(own), session: asked.session } }).expect(200);
    const { body: there } = await matrix()
      .call(own, 'post', '/keys/query')
      .send({ device_keys: { [own.userId]: [] } })
      .expect(200);
    expect(there.master_keys[own.userId].keys).toEqual(second.master_key.keys);
    // One proof replaces the keys once.
    await upload(keysOf('c'.repeat(43))).expect(401);
    // Errors of Synapse reach the client as they are.
    const newcomer = await matrix().register();
    const { body: refused } = await matrix()
      .call(newcomer, 'post', '/keys/device_signing/upload')
      .send(first)
      .expect(400);
    expect(refused.errcode).toMatch(/^M_/);
  });

  it('is told what the pair can do', async () => {
    const own = await matrix().register();
    const { body } = await matrix().call(own, 'get', '/capabilities').expect(200);
    expect(body.capabilities).toMatchObject({
      'm.change_password': { enabled: true },
      'm.get_login_token': { enabled: true },
      'm.room_versions': { default: expect.not.stringMatching(/^1$/) },
    });
  });

  it('is found by clients, which do not look for OAuth 2.0', async () => {
    const found = await fetch(`${pair().nginx.url}/.well-known/matrix/client`);
    expect(Object.keys((await found.json()) as object)).toEqual(['m.homeserver']);
    const metadata = await fetch(`${pair().nginx.url}/_matrix/client/v1/auth_metadata`);
    expect([metadata.status, await metadata.json()]).toMatchObject([404, { errcode: 'M_UNRECOGNIZED' }]);
  });

  it('gets an error of Matrix from the proxy while Synapse is down', async () => {
    const own = await matrix().register();
    await pair().synapse.stop();
    const { body } = await matrix().call(own, 'get', '/sync?timeout=0').expect(503);
    expect(body.errcode).toBe('M_UNKNOWN');
    await matrix().call(own, 'get', '/account/whoami').expect(200);
  });
});
