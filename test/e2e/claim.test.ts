import { describe, expect, it } from 'vitest';
import { type ClientSession, someKeys, V3 } from '../../src/testing/matrix-client.js';
import { TestApp, useApp } from '../support/test-app.js';

const app = useApp();
const ALGORITHM = 'signed_curve25519';

const claim = (session: ClientSession, one_time_keys: unknown) =>
  app().matrix.call(session, 'post', '/keys/claim').send({ one_time_keys });

/** Uploads one-time keys of these IDs. */
async function upload(session: ClientSession, keyIds: string[], algorithm = ALGORITHM): Promise<number> {
  const keys = keyIds.map((id) => [`${algorithm}:${id}`, { key: `key ${id}`, signatures: {} }]);
  const { body } = await app()
    .matrix.uploadKeys(session, { one_time_keys: Object.fromEntries(keys) })
    .expect(200);
  return body.one_time_key_counts[algorithm] ?? 0;
}

/** Claims a key of the device and returns its ID, or `null` if there was none. */
async function next(by: ClientSession, { userId, deviceId }: ClientSession): Promise<string | null> {
  const { body } = await claim(by, { [userId]: { [deviceId]: ALGORITHM } }).expect(200);
  const [name] = Object.keys(body.one_time_keys[userId]?.[deviceId] ?? {});
  return name?.split(':')[1] ?? null;
}

describe('POST /keys/claim', () => {
  it('hands out each key once, keys of earlier uploads first', async () => {
    const device = await app().matrix.register();
    const other = await app().matrix.register();
    // All within one millisecond, and not in the order of their names.
    for (const keyId of ['C', 'A', 'B']) await upload(device, [keyId]);
    expect([
      await next(other, device),
      await next(device, device),
      await next(other, device),
      await next(other, device),
    ]).toEqual(['C', 'A', 'B', null]);
  });

  it('returns the key as it was uploaded, and decrements the count', async () => {
    const device = await app().matrix.register();
    const { one_time_keys } = someKeys(device, 2);
    await app().matrix.uploadKeys(device, { one_time_keys }).expect(200);
    const { body } = await claim(device, { [device.userId]: { [device.deviceId]: ALGORITHM } }).expect(200);
    const [[name, key]] = Object.entries(body.one_time_keys[device.userId][device.deviceId]) as [
      [string, unknown],
    ];
    expect(key).toEqual((one_time_keys as Record<string, unknown>)[name]);
    expect(body.failures).toEqual({});
    const { body: counts } = await app().matrix.uploadKeys(device, {}).expect(200);
    expect(counts).toEqual({ one_time_key_counts: { [ALGORITHM]: 1 } });
  });

  it('never hands out a claimed key again, even if it is uploaded again', async () => {
    const device = await app().matrix.register();
    await upload(device, ['A', 'B']);
    expect(await next(device, device)).toBe('A');
    // The client never got the answer to its upload. The claimed key that it sends again counts as uploaded.
    expect(await upload(device, ['A', 'B'])).toBe(1);
    expect([await next(device, device), await next(device, device)]).toEqual(['B', null]);
    expect(await upload(device, ['A', 'B'])).toBe(0);
    expect(await next(device, device)).toBeNull();
  });

  it('refuses the whole upload if a different key has the ID of a claimed one', async () => {
    const device = await app().matrix.register();
    await upload(device, ['A']);
    expect(await next(device, device)).toBe('A');
    const one_time_keys = {
      [`${ALGORITHM}:A`]: { key: 'another', signatures: {} },
      [`${ALGORITHM}:B`]: { key: 'b', signatures: {} },
    };
    const answer = await app().matrix.uploadKeys(device, { one_time_keys }).expect(400);
    expect(answer.body).toMatchObject({
      errcode: 'M_INVALID_PARAM',
      error: 'One time key signed_curve25519:A already exists',
    });
    expect(await next(device, device)).toBeNull();
  });

  it('returns the fallback key every time when no one-time key is left, and marks it as used', async () => {
    const device = await app().matrix.register();
    await app().matrix.uploadKeys(device, someKeys(device, 1)).expect(200);
    const used = async () =>
      (await app().sql('SELECT used FROM fallback_keys WHERE user_id = $1', [device.userId]))[0];
    expect(await next(device, device)).toBe('AAAA0');
    expect(await used()).toEqual({ used: false });
    const wish = { [device.userId]: { [device.deviceId]: ALGORITHM } };
    for (let time = 0; time < 2; time += 1) {
      const { body } = await claim(device, wish).expect(200);
      expect(body.one_time_keys[device.userId][device.deviceId]).toEqual(someKeys(device)['fallback_keys']);
      expect(await used()).toEqual({ used: true });
    }
    const { fallback_keys } = someKeys(device);
    await app().matrix.uploadKeys(device, { fallback_keys }).expect(200);
    expect(await used()).toEqual({ used: true });
    const fresh = { [`${ALGORITHM}:NEW`]: { key: 'new', signatures: {}, fallback: true } };
    await app().matrix.uploadKeys(device, { fallback_keys: fresh }).expect(200);
    expect(await used()).toEqual({ used: false });
    expect(await next(device, device)).toBe('NEW');
  });

  it('serves many devices at once, and leaves out those without a key, deleted ones and unknown ones', async () => {
    const one = await app().matrix.register({ device_id: 'ONE' });
    const two = await app().matrix.login(one.userId, { device_id: 'TWO' });
    const gone = await app().matrix.login(one.userId, { device_id: 'GONE' });
    const keyless = await app().matrix.register();
    for (const session of [one, two, gone]) await upload(session, ['A']);
    await app().matrix.logout(gone).expect(200);
    const { body } = await claim(one, {
      [one.userId]: { ONE: ALGORITHM, TWO: ALGORITHM, GONE: ALGORITHM, NEVER: ALGORITHM },
      [keyless.userId]: { [keyless.deviceId]: ALGORITHM },
      '@nobody:localhost': { D: ALGORITHM },
      ['__proto__']: { D: ALGORITHM },
      nonsense: { D: ALGORITHM },
      '@bob:elsewhere.org': { D: ALGORITHM },
    }).expect(200);
    expect(Object.keys(body.one_time_keys)).toEqual([one.userId]);
    expect(Object.keys(body.one_time_keys[one.userId])).toEqual(['ONE', 'TWO']);
    expect(body.failures).toEqual({ 'elsewhere.org': {} });
  });

  it('returns a key of the requested algorithm, or none', async () => {
    const device = await app().matrix.register();
    await upload(device, ['A']);
    const { body } = await claim(device, { [device.userId]: { [device.deviceId]: 'other' } }).expect(200);
    expect(body).toEqual({ failures: {}, one_time_keys: {} });
  });

  it('returns a hundred different keys to a hundred concurrent claims, and the fallback key to later ones', async () => {
    const device = await app().matrix.register();
    await app().matrix.uploadKeys(device, someKeys(device, 100)).expect(200);
    const others = [await app().matrix.register(), await app().matrix.register()];
    const keyIds = await Promise.all(Array.from({ length: 110 }, (_, at) => next(others[at % 2]!, device)));
    expect(new Set(keyIds).size).toBe(101);
    expect(keyIds.filter((keyId) => keyId === 'FALL')).toHaveLength(10);
  });

  it.each([
    {},
    { one_time_keys: [] },
    { one_time_keys: { '@a:localhost': [] } },
    { one_time_keys: { '@a:localhost': { D: 7 } } },
    { one_time_keys: {}, timeout: 'soon' },
  ])('refuses %j with 400', async (body) => {
    const session = await app().matrix.register();
    const answer = await app().matrix.call(session, 'post', '/keys/claim').send(body).expect(400);
    expect(answer.body.errcode).toMatch(/^M_(BAD_JSON|MISSING_PARAM)$/);
  });

  it('requires a token', async () => {
    await app().http.post(`${V3}/keys/claim`).send({ one_time_keys: {} }).expect(401);
  });

  it('does not use up all fifty keys of a device, with or without a fallback key', async () => {
    const limited = await TestApp.start({ database: app().database, variables: { RATE_LIMITS: 'on' } });
    try {
      const session = await limited.matrix.register();
      const keys = Object.fromEntries(
        Array.from({ length: 50 }, (_, nth) => [`${ALGORITHM}:K${nth}`, { key: `${nth}`, signatures: {} }]),
      );
      const fallback_keys = { [`${ALGORITHM}:F`]: { key: 'f', fallback: true, signatures: {} } };
      await limited.matrix.uploadKeys(session, { one_time_keys: keys }).expect(200);
      const { userId, deviceId } = session;
      const give = async () => {
        const one_time_keys = { [userId]: { [deviceId]: ALGORITHM } };
        const { body } = await limited.matrix.call(session, 'post', '/keys/claim').send({ one_time_keys });
        return Object.keys((body.one_time_keys[userId]?.[deviceId] ?? {}) as object)[0];
      };
      for (let nth = 0; nth < 30; nth += 1) expect(await give()).toMatch(/:K\d+$/);
      expect(await give()).toBeUndefined();
      await limited.matrix.uploadKeys(session, { fallback_keys }).expect(200);
      expect(await give()).toBe(`${ALGORITHM}:F`);
      const { body } = await limited.matrix.uploadKeys(session, {}).expect(200);
      expect(body.one_time_key_counts).toEqual({ [ALGORITHM]: 20 });
    } finally {
      await limited.stop();
    }
  });

  it('does not empty a device: claims beyond the rate limit get its fallback key', async () => {
    const limited = await TestApp.start({
      database: app().database,
      variables: { RATE_LIMITS: 'on', RATE_LIMIT_KEYS_CLAIMED: '2/1h' },
    });
    try {
      const [owner, other] = [await limited.matrix.register(), await limited.matrix.register()];
      for (const session of [owner, other])
        await limited.matrix.uploadKeys(session, someKeys(session, 5)).expect(200);
      const keyOf = async ({ userId, deviceId }: ClientSession) => {
        const { body } = await limited.matrix
          .call(owner, 'post', '/keys/claim')
          .send({ one_time_keys: { [userId]: { [deviceId]: 'signed_curve25519' } } })
          .expect(200);
        return Object.keys(body.one_time_keys[userId][deviceId] as object)[0];
      };
      const given = [];
      for (let nth = 0; nth < 4; nth += 1) given.push(await keyOf(other));
      expect(given).toEqual([
        'signed_curve25519:AAAA0',
        'signed_curve25519:AAAA1',
        'signed_curve25519:FALL',
        'signed_curve25519:FALL',
      ]);
      expect(await keyOf(owner)).toBe('signed_curve25519:AAAA0');
    } finally {
      await limited.stop();
    }
  });
});
