import { describe, expect, it } from 'vitest';
import { type ClientSession, someKeys, V3 } from '../../src/testing/matrix-client.js';
import { census, useApp } from '../support/test-app.js';

const app = useApp();
const NO_CROSS_SIGNING = { master_keys: {}, self_signing_keys: {}, user_signing_keys: {} };
const query = ({ accessToken }: ClientSession, body: object) =>
  app().http.post(`${V3}/keys/query`).auth(accessToken, { type: 'bearer' }).send(body);

describe('POST /keys/upload', () => {
  it('stores keys, counts them, and does nothing the second time', async () => {
    const session = await app().matrix.register();
    for (let round = 0; round < 2; round += 1) {
      const { body } = await app().matrix.uploadKeys(session, someKeys(session, 5)).expect(200);
      expect(body).toEqual({ one_time_key_counts: { signed_curve25519: 5 } });
    }
  });

  it('joins overlapping sets', async () => {
    const session = await app().matrix.register();
    const all = Object.entries(someKeys(session, 6)['one_time_keys']!);
    await app()
      .matrix.uploadKeys(session, { one_time_keys: Object.fromEntries(all.slice(0, 4)) })
      .expect(200);
    const answer = await app().matrix.uploadKeys(session, {
      one_time_keys: Object.fromEntries(all.slice(2)),
    });
    expect(answer.body).toEqual({ one_time_key_counts: { signed_curve25519: 6 } });
  });

  it('refuses another key under a known ID and stores nothing of that upload', async () => {
    const session = await app().matrix.register();
    await app()
      .matrix.uploadKeys(session, { one_time_keys: { 'curve25519:A': 'first' } })
      .expect(200);
    const conflict = { one_time_keys: { 'curve25519:B': 'new', 'curve25519:A': 'second' } };
    const answer = await app().matrix.uploadKeys(session, conflict).expect(400);
    expect(answer.body).toMatchObject({ errcode: 'M_INVALID_PARAM' });
    expect(await census(app(), session.userId)).toMatchObject({ one_time_keys: 1 });
  });

  it('replaces the fallback key of an algorithm and keeps the mark of one that is already there', async () => {
    const session = await app().matrix.register();
    const fallback = (id: string) => ({ fallback_keys: { [`curve25519:${id}`]: `key ${id}` } });
    await app().matrix.uploadKeys(session, fallback('A')).expect(200);
    await app().sql('UPDATE fallback_keys SET used = true WHERE user_id = $1', [session.userId]);
    const stored = () =>
      app().sql('SELECT key_id, used FROM fallback_keys WHERE user_id = $1', [session.userId]);
    await app().matrix.uploadKeys(session, fallback('A')).expect(200);
    expect(await stored()).toEqual([{ key_id: 'A', used: true }]);
    await app().matrix.uploadKeys(session, fallback('B')).expect(200);
    expect(await stored()).toEqual([{ key_id: 'B', used: false }]);
  });

  it('takes keys of the own device only', async () => {
    const session = await app().matrix.register();
    const other = await app().matrix.register();
    for (const keys of [someKeys(other), someKeys({ ...session, deviceId: 'OTHER' })]) {
      const answer = await app().matrix.uploadKeys(session, { device_keys: keys['device_keys'] }).expect(400);
      expect(answer.body).toMatchObject({ errcode: 'M_BAD_JSON' });
    }
  });

  it.each([
    { device_keys: [] },
    { device_keys: {} },
    { one_time_keys: { 'no-colon': 'x' } },
    { one_time_keys: { 'curve25519:A': 7 } },
    { one_time_keys: { 'signed_curve25519:A': { key: 'x' } } },
    { one_time_keys: 'x' },
    { one_time_keys: { [`curve25519:${'x'.repeat(9_000)}`]: 'x' } },
    { fallback_keys: { [`${'x'.repeat(9_000)}:A`]: 'x' } },
    { fallback_keys: { 'curve25519:A': 'x', 'curve25519:B': 'y' } },
  ])('refuses %.80j with 400 M_BAD_JSON', async (body) => {
    const session = await app().matrix.register();
    const answer = await app().matrix.uploadKeys(session, body).expect(400);
    expect(answer.body).toEqual({ errcode: 'M_BAD_JSON', error: expect.any(String) });
  });

  it('refuses more one-time keys than any client wants, and keeps what was there', async () => {
    const session = await app().matrix.register();
    const keys = (from: number, count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, at) => [`curve25519:${from + at}`, 'key']));
    await app()
      .matrix.uploadKeys(session, { one_time_keys: keys(0, 5_000) })
      .expect(200);
    const answer = await app()
      .matrix.uploadKeys(session, { one_time_keys: keys(5_000, 1) })
      .expect(400);
    expect(answer.body).toMatchObject({ errcode: 'M_INVALID_PARAM' });
    const { body } = await app().matrix.uploadKeys(session, {}).expect(200);
    expect(body).toEqual({ one_time_key_counts: { curve25519: 5_000 } });
  });

  it.each(['algorithms', 'keys', 'signatures', 'user_id', 'device_id'])(
    'refuses device keys without %s',
    async (field) => {
      const session = await app().matrix.register();
      const { [field]: _, ...rest } = someKeys(session)['device_keys'] as Record<string, unknown>;
      const answer = await app().matrix.uploadKeys(session, { device_keys: rest }).expect(400);
      expect(answer.body).toMatchObject({ errcode: 'M_BAD_JSON' });
    },
  );
});

describe('POST /keys/query', () => {
  it('gives the keys as they were uploaded, and the name of the device', async () => {
    const session = await app().matrix.register({ device_id: 'D', initial_device_display_name: 'Phone' });
    const { device_keys } = someKeys(session);
    const odd = {
      ...device_keys,
      'org.example.extra': { b: 1, a: [1e10, 9007199254740991, null, '\u2028'], é: '😀' },
    };
    await app().matrix.uploadKeys(session, { device_keys: odd }).expect(200);
    const { body } = await query(session, { device_keys: { [session.userId]: [] } }).expect(200);
    expect(body).toEqual({
      ...NO_CROSS_SIGNING,
      failures: {},
      device_keys: { [session.userId]: { D: { ...odd, unsigned: { device_display_name: 'Phone' } } } },
    });
  });

  it('filters by device, and leaves out whoever does not exist', async () => {
    const session = await app().matrix.register({ device_id: 'A' });
    const second = await app().matrix.login(session.userId, { device_id: 'B' });
    const keyless = await app().matrix.register();
    for (const one of [session, second]) await app().matrix.uploadKeys(one, someKeys(one)).expect(200);
    const asked = {
      [session.userId]: ['B', 'NONE'],
      [keyless.userId]: [],
      '@nobody:localhost': [],
      nonsense: [],
    };
    const { body } = await query(keyless, { device_keys: asked }).expect(200);
    expect(Object.keys(body.device_keys[session.userId])).toEqual(['B']);
    expect(body.device_keys[keyless.userId]).toEqual({});
    expect(Object.keys(body.device_keys)).toHaveLength(2);
    expect(body.failures).toEqual({});
  });

  it('names servers that it cannot ask', async () => {
    const session = await app().matrix.register();
    const { body } = await query(session, { device_keys: { '@bob:elsewhere.org': [] } }).expect(200);
    expect(body).toEqual({ ...NO_CROSS_SIGNING, device_keys: {}, failures: { 'elsewhere.org': {} } });
  });

  it.each([{}, { device_keys: [] }, { device_keys: { '@a:b': {} } }, { device_keys: { '@a:b': [7] } }])(
    'refuses %j with 400',
    async (body) => {
      const session = await app().matrix.register();
      const answer = await query(session, body).expect(400);
      expect(answer.body.errcode).toMatch(/^M_(BAD_JSON|MISSING_PARAM)$/);
    },
  );
});

it('takes no one-time key whose signatures of a user are no object', async () => {
  const session = await app().matrix.register();
  const key = { key: 'k', signatures: { [session.userId]: ['s'] } };
  const { body } = await app()
    .matrix.uploadKeys(session, { one_time_keys: { 'signed_curve25519:A': key } })
    .expect(400);
  expect(body.errcode).toBe('M_BAD_JSON');
});
