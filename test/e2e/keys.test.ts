import { describe, expect, it } from 'vitest';
import { type ClientSession, someKeys, V3 } from '../../src/testing/matrix-client.js';
import { census, useApp } from '../support/test-app.js';

const app = useApp();
const NO_CROSS_SIGNING = { master_keys: {}, self_signing_keys: {}, user_signing_keys: {} };
const query = ({ accessToken }: ClientSession, body: object) =>
  app().http.post(`${V3}/keys/query`).auth(accessToken, { type: 'bearer' }).send(body);

describe('POST /keys/upload', () => {
  it('stores keys and counts them; a second upload changes nothing', async () => {
    const session = await app().matrix.register();
    for (let round = 0; round < 2; round += 1) {
      const { body } = await app().matrix.uploadKeys(session, someKeys(session, 5)).expect(200);
      expect(body).toEqual({ one_time_key_counts: { signed_curve25519: 5 } });
    }
  });

  it.each<[string, (keys: Record<string, Record<string, unknown>>) => object]>([
    ['device_keys: null', () => ({ device_keys: null })],
    ['one_time_keys: null', () => ({ one_time_keys: null })],
    ['fallback_keys: null', () => ({ fallback_keys: null })],
    ['a list of keys', () => ({ one_time_keys: [] })],
    [
      'signatures with numbers',
      (keys) => ({ device_keys: { ...keys['device_keys'], signatures: { a: { b: 7 } } } }),
    ],
    [
      'signatures of a user that are a text',
      (keys) => ({ device_keys: { ...keys['device_keys'], signatures: { a: 'b' } } }),
    ],
    ['signatures that are null', (keys) => ({ device_keys: { ...keys['device_keys'], signatures: null } })],
    ['keys with numbers', (keys) => ({ device_keys: { ...keys['device_keys'], keys: { 'ed25519:A': 7 } } })],
    ['algorithms with numbers', (keys) => ({ device_keys: { ...keys['device_keys'], algorithms: [7] } })],
    ['unsigned that is a text', (keys) => ({ device_keys: { ...keys['device_keys'], unsigned: 'x' } })],
    [
      'a display name that is a number',
      (keys) => ({ device_keys: { ...keys['device_keys'], unsigned: { device_display_name: 7 } } }),
    ],
    ['dehydrated that is a text', (keys) => ({ device_keys: { ...keys['device_keys'], dehydrated: 'yes' } })],
    ['dehydrated that is null', (keys) => ({ device_keys: { ...keys['device_keys'], dehydrated: null } })],
    ['a signed key that is a text', () => ({ one_time_keys: { 'signed_curve25519:A': 'k' } })],
    ['a fallback key that is a text', () => ({ fallback_keys: { 'signed_curve25519:A': 'k' } })],
    [
      'a plain key that is an object',
      () => ({ one_time_keys: { 'curve25519:A': { key: 'k', signatures: {} } } }),
    ],
    ['a key that is a number', () => ({ one_time_keys: { 'curve25519:A': 7 } })],
    ['a key that is null', () => ({ one_time_keys: { 'curve25519:A': null } })],
    [
      'a signature that is null',
      () => ({ one_time_keys: { 'a:A': { key: 'k', signatures: { u: { k: null } } } } }),
    ],
    [
      'fallback that is a text',
      () => ({ fallback_keys: { 'a:A': { key: 'k', signatures: {}, fallback: 'yes' } } }),
    ],
    [
      'fallback that is null',
      () => ({ fallback_keys: { 'a:A': { key: 'k', signatures: {}, fallback: null } } }),
    ],
  ])('refuses %s with 400 and stores nothing', async (_, make) => {
    const session = await app().matrix.register();
    const keys = someKeys(session) as Record<string, Record<string, unknown>>;
    const answer = await app()
      .matrix.uploadKeys(session, { ...keys, ...make(keys) })
      .expect(400);
    expect(answer.body).toEqual({ errcode: 'M_BAD_JSON', error: expect.any(String) });
    expect(await census(app(), session.userId)).toMatchObject({
      device_keys: 0,
      one_time_keys: 0,
      fallback_keys: 0,
    });
  });

  it('deletes the one-time and fallback keys of the old identity when it changes, even if key IDs collide', async () => {
    const session = await app().matrix.register();
    await app().matrix.uploadKeys(session, someKeys(session, 3)).expect(200);
    const other = await app().matrix.register();
    const claim = () =>
      app()
        .matrix.call(other, 'post', '/keys/claim')
        .send({ one_time_keys: { [session.userId]: { [session.deviceId]: 'signed_curve25519' } } });
    await claim();
    const lost = someKeys(session, 2) as Record<string, Record<string, object>>;
    const identity = { ...lost['device_keys'], keys: { [`ed25519:${session.deviceId}`]: 'another' } };
    const renamed = Object.fromEntries(
      Object.entries(lost['one_time_keys']!).map(([name, key]) => [name, { ...key, key: `new ${name}` }]),
    );
    const { body } = await app()
      .matrix.uploadKeys(session, { device_keys: identity, one_time_keys: renamed })
      .expect(200);
    expect(body).toEqual({ one_time_key_counts: { signed_curve25519: 2 } });
    expect(await census(app(), session.userId)).toMatchObject({
      device_keys: 1,
      one_time_keys: 2,
      fallback_keys: 0,
    });
    const given = (await claim().expect(200)).body.one_time_keys[session.userId][session.deviceId];
    expect(JSON.stringify(given)).toContain('new signed_curve25519');
    // The same identity with other signatures and in another order deletes nothing.
    const again = { ...identity, signatures: { [session.userId]: {} } };
    await app().matrix.uploadKeys(session, { device_keys: again }).expect(200);
    expect(await census(app(), session.userId)).toMatchObject({ one_time_keys: 2 });
  });

  it('merges overlapping sets of keys', async () => {
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

  it('replaces the fallback key of an algorithm, and keeps the used mark of one that is stored already', async () => {
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

  it('accepts only keys of the calling device', async () => {
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

  it('refuses too many one-time keys, and keeps the stored ones', async () => {
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
  it('returns the keys as they were uploaded, and the name of the device', async () => {
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

  it('filters by device, and leaves out unknown users and devices', async () => {
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

  it('lists servers that it cannot ask', async () => {
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

it('POST /keys/upload refuses a one-time key if the signatures of a user are not an object', async () => {
  const session = await app().matrix.register();
  const key = { key: 'k', signatures: { [session.userId]: ['s'] } };
  const { body } = await app()
    .matrix.uploadKeys(session, { one_time_keys: { 'signed_curve25519:A': key } })
    .expect(400);
  expect(body.errcode).toBe('M_BAD_JSON');
});

describe('Missing and invalid parameters', () => {
  it.each([
    ['/keys/query', {}, 'M_MISSING_PARAM'],
    ['/keys/query', { device_keys: null }, 'M_BAD_JSON'],
    ['/keys/query', { device_keys: 7 }, 'M_BAD_JSON'],
    ['/keys/query', { device_keys: [] }, 'M_BAD_JSON'],
    ['/keys/query', { device_keys: {}, timeout: 'x' }, 'M_BAD_JSON'],
    ['/keys/claim', {}, 'M_MISSING_PARAM'],
    ['/keys/claim', { one_time_keys: null }, 'M_BAD_JSON'],
    ['/keys/claim', { one_time_keys: 'x' }, 'M_BAD_JSON'],
    ['/account/password', {}, 'M_MISSING_PARAM'],
    ['/account/password', { new_password: 7 }, 'M_BAD_JSON'],
    ['/delete_devices', {}, 'M_MISSING_PARAM'],
    ['/delete_devices', { devices: 'x' }, 'M_BAD_JSON'],
    ['/refresh', {}, 'M_MISSING_PARAM'],
    ['/refresh', { refresh_token: null }, 'M_BAD_JSON'],
    ['/refresh', { refresh_token: 7 }, 'M_BAD_JSON'],
    ['/login', {}, 'M_MISSING_PARAM'],
    ['/login', { type: null }, 'M_BAD_JSON'],
    ['/login', { type: 'm.login.password', identifier: null }, 'M_MISSING_PARAM'],
    ['/login', { type: 'm.login.password', identifier: 7 }, 'M_BAD_JSON'],
  ])('have different errors: %s with %j is %s', async (path, body, errcode) => {
    const session = await app().matrix.register();
    const answer = await app().matrix.call(session, 'post', path).send(body).expect(400);
    expect(answer.body).toEqual({ errcode, error: expect.any(String) });
  });
});
