import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { orderedJson } from '../../src/matrix/canonical-json.js';
import { type ClientSession, passwordOf, someKeys, V3 } from '../../src/testing/matrix-client.js';
import { SigningUser } from '../support/signing.js';
import { census, useApp } from '../support/test-app.js';

const app = useApp({ variables: { DEVICES_PER_USER: '5' } });

const names = (count: number) => Array.from({ length: count }, (_, at) => `K${at}`);
const oneTimeKeys = (count: number, from = 0) =>
  Object.fromEntries(
    Array.from({ length: count }, (_, at) => [`curve25519:K${from + at}`, `key ${from + at}`]),
  );
const upload = (session: ClientSession, body: object) => app().matrix.uploadKeys(session, body);
const post = (session: ClientSession, path: string, body: object) =>
  app().matrix.call(session, 'post', path).send(body);

/** Inserts rows directly, as years of use would leave them. */
const claimed = (session: ClientSession, count: number) =>
  app().sql(
    `INSERT INTO one_time_keys (user_id, device_id, algorithm, key_id, key, uploaded_at, batch, claimed_at)
     SELECT $1, $2, 'curve25519', 'OLD' || n, '"o"', now(), 1, now() FROM generate_series(1, $3::int) AS n`,
    [session.userId, session.deviceId, count],
  );

async function expectRefused(
  call: PromiseLike<{ status: number; body: unknown }>,
  errcode: string,
): Promise<void> {
  const { status, body } = await call;
  expect({ status, body }).toEqual({ status: 400, body: { errcode, error: expect.any(String) } });
}

describe('A user', () => {
  it('has a maximum number of devices: logins on new devices are refused, on known devices they are not', async () => {
    const session = await app().matrix.register();
    for (let nth = 0; nth < 4; nth += 1) await app().matrix.login(session.userId);
    const login = {
      type: 'm.login.password',
      user: session.userId,
      password: 'correct horse battery staple',
    };
    const answer = await app().http.post(`${V3}/login`).send(login).expect(403);
    expect(answer.body).toEqual({ errcode: 'M_FORBIDDEN', error: expect.stringContaining('5 devices') });
    const again = await app().matrix.login(session.userId, { device_id: session.deviceId });
    const other = await app().matrix.register();
    // A login that shares a transaction with the refused one still succeeds.
    const together = await Promise.all([
      app().http.post(`${V3}/login`).send(login),
      app()
        .http.post(`${V3}/login`)
        .send({ ...login, user: other.userId }),
    ]);
    expect(together.map(({ status }) => status)).toEqual([403, 200]);
    await app().matrix.logout(again).expect(200);
    await app().matrix.login(session.userId);
  });

  it('that is locked gets M_USER_LOCKED at login, even with too many devices', async () => {
    const session = await app().matrix.register();
    for (let nth = 0; nth < 4; nth += 1) await app().matrix.login(session.userId);
    await app().sql('UPDATE accounts SET locked_at = now() WHERE user_id = $1', [session.userId]);
    const login = {
      type: 'm.login.password',
      user: session.userId,
      password: 'correct horse battery staple',
    };
    const answer = await app().http.post(`${V3}/login`).send(login).expect(401);
    expect(answer.body).toMatchObject({ errcode: 'M_USER_LOCKED', soft_logout: true });
  });

  it('has a maximum size of device keys, summed over all devices', async () => {
    const session = await app().matrix.register();
    const filler = 'x'.repeat(15_000);
    await app().sql(
      `INSERT INTO devices (user_id, device_id, created_at) SELECT $1, 'D' || n, now() FROM generate_series(1, 70) AS n`,
      [session.userId],
    );
    await app().sql(
      `INSERT INTO device_keys SELECT $1, 'D' || n, jsonb_build_object('x', $2::text), now() FROM generate_series(1, 70) AS n`,
      [session.userId, filler],
    );
    await expectRefused(upload(session, { device_keys: someKeys(session)['device_keys'] }), 'M_TOO_LARGE');
    expect((await census(app(), session.userId, session.deviceId))['device_keys']).toBe(0);
    await app().sql(`DELETE FROM devices WHERE user_id = $1 AND device_id = 'D1'`, [session.userId]);
    await upload(session, { device_keys: someKeys(session)['device_keys'] }).expect(200);
  });

  it('cannot exceed that size by uploading from several devices at once', async () => {
    const session = await app().matrix.register();
    const devices = [session];
    for (let nth = 0; nth < 4; nth += 1) devices.push(await app().matrix.login(session.userId));
    await app().sql(`INSERT INTO devices (user_id, device_id, created_at) VALUES ($1, 'FULL', now())`, [
      session.userId,
    ]);
    await app().sql(
      `INSERT INTO device_keys SELECT $1, 'FULL', jsonb_build_object('x', repeat('x', 1024 * 1024 - 20000)), now()`,
      [session.userId],
    );
    const keys = (device: ClientSession) => ({
      device_keys: { ...someKeys(device)['device_keys'], filler: 'x'.repeat(12_000) },
    });
    const answers = await Promise.all(devices.map((device) => upload(device, keys(device))));
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 400, 400, 400, 400]);
  });
});

describe('A device', () => {
  it('refuses keys that are too large, of every kind', async () => {
    const session = await app().matrix.register();
    const { device_keys: deviceKeys } = someKeys(session) as { device_keys: object };
    const large = 'x'.repeat(2_048);
    const signed = { key: large, signatures: {} };
    await expectRefused(
      upload(session, { device_keys: { ...deviceKeys, more: 'x'.repeat(20_000) } }),
      'M_TOO_LARGE',
    );
    await expectRefused(upload(session, { one_time_keys: { 'a:A': large } }), 'M_TOO_LARGE');
    await expectRefused(upload(session, { one_time_keys: { 'a:A': signed } }), 'M_TOO_LARGE');
    await expectRefused(upload(session, { fallback_keys: { 'a:A': signed } }), 'M_TOO_LARGE');
    expect(await census(app(), session.userId)).toMatchObject({
      device_keys: 0,
      one_time_keys: 0,
      fallback_keys: 0,
    });
    const user = new SigningUser(session.userId);
    const { master_key } = user.upload() as { master_key: object };
    const body = { master_key: { ...master_key, more: 'x'.repeat(20_000) } };
    await expectRefused(post(session, '/keys/device_signing/upload', body), 'M_TOO_LARGE');
  });

  it('holds at most 5,000 unclaimed one-time keys; keys that are stored already do not count again', async () => {
    const session = await app().matrix.register();
    await expectRefused(upload(session, { one_time_keys: oneTimeKeys(5_001) }), 'M_INVALID_PARAM');
    await upload(session, { one_time_keys: oneTimeKeys(4_990) }).expect(200);
    await expectRefused(upload(session, { one_time_keys: oneTimeKeys(11, 5_000) }), 'M_INVALID_PARAM');
    const { body } = await upload(session, { one_time_keys: oneTimeKeys(50) }).expect(200);
    expect(body.one_time_key_counts).toEqual({ curve25519: 4_990 });
    // Five of them are new, and ten more are allowed.
    await upload(session, { one_time_keys: oneTimeKeys(55, 4_940) }).expect(200);
    expect((await census(app(), session.userId))['one_time_keys']).toBe(4_995);
    await expectRefused(upload(session, { one_time_keys: oneTimeKeys(56, 4_945) }), 'M_INVALID_PARAM');
    expect((await census(app(), session.userId))['one_time_keys']).toBe(4_995);
  });

  it('cannot exceed that number by many uploads at once', async () => {
    const session = await app().matrix.register();
    const answers = await Promise.all(
      Array.from({ length: 6 }, (_, nth) =>
        upload(session, { one_time_keys: oneTimeKeys(1_500, nth * 2_000) }),
      ),
    );
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 200, 200, 400, 400, 400]);
    expect((await census(app(), session.userId))['one_time_keys']).toBe(4_500);
  });

  it('has at most 100,000 one-time keys in its lifetime, including claimed ones', async () => {
    const session = await app().matrix.register();
    await claimed(session, 99_998);
    await upload(session, { one_time_keys: oneTimeKeys(2) }).expect(200);
    await expectRefused(upload(session, { one_time_keys: oneTimeKeys(1, 10) }), 'M_INVALID_PARAM');
    await upload(session, { one_time_keys: oneTimeKeys(2) }).expect(200);
    await app().matrix.logout(session).expect(200);
  });

  it('has fallback keys for at most twenty algorithms', async () => {
    const session = await app().matrix.register();
    const keys = (count: number, name: string) =>
      Object.fromEntries(names(count).map((one) => [`${name}${one}:F`, 'key']));
    await expectRefused(upload(session, { fallback_keys: keys(21, 'a') }), 'M_INVALID_PARAM');
    await upload(session, { fallback_keys: keys(15, 'a') }).expect(200);
    await expectRefused(upload(session, { fallback_keys: keys(6, 'b') }), 'M_INVALID_PARAM');
    await upload(session, { fallback_keys: keys(15, 'a') }).expect(200);
    expect((await census(app(), session.userId))['fallback_keys']).toBe(15);
  });

  it('has them for at most twenty algorithms even when they are uploaded at the same time', async () => {
    const session = await app().matrix.register();
    const uploads = Array.from({ length: 12 }, (_, at) =>
      upload(session, { fallback_keys: { [`a${at}:A`]: 'f', [`b${at}:A`]: 'f' } }),
    );
    const statuses = (await Promise.all(uploads)).map(({ status }) => status);
    expect(statuses.toSorted()).toEqual([...Array(10).fill(200), 400, 400]);
    expect((await census(app(), session.userId))['fallback_keys']).toBe(20);
  });
});

describe('A request', () => {
  it('names at most a certain number of devices, users and objects', async () => {
    const session = await app().matrix.register();
    const users = (count: number) =>
      Object.fromEntries(names(count).map((name) => [`@${name}:localhost`, []]));
    await post(session, '/keys/query', { device_keys: users(1_000) }).expect(200);
    await expectRefused(post(session, '/keys/query', { device_keys: users(1_001) }), 'M_INVALID_PARAM');
    const many = { device_keys: { [session.userId]: names(10_001) } };
    await expectRefused(post(session, '/keys/query', many), 'M_INVALID_PARAM');
    const wishes = (count: number) => ({
      one_time_keys: { [session.userId]: Object.fromEntries(names(count).map((name) => [name, 'a'])) },
    });
    await post(session, '/keys/claim', wishes(10_000)).expect(200);
    await expectRefused(post(session, '/keys/claim', wishes(10_001)), 'M_INVALID_PARAM');
    const objects = { [session.userId]: Object.fromEntries(names(1_001).map((name) => [name, {}])) };
    await expectRefused(post(session, '/keys/signatures/upload', objects), 'M_INVALID_PARAM');
    const devices = names(12_000).map((name) => `${name}-of-some-length`);
    await expectRefused(post(session, '/delete_devices', { devices }), 'M_TOO_LARGE');
  });

  it('claims one key of each of many devices, in several transactions', async () => {
    const session = await app().matrix.register();
    await app().sql(
      `INSERT INTO devices (user_id, device_id, created_at) SELECT $1, 'D' || n, now() FROM generate_series(1, 1200) AS n`,
      [session.userId],
    );
    await app().sql(
      `INSERT INTO one_time_keys (user_id, device_id, algorithm, key_id, key, uploaded_at, batch)
       SELECT $1, 'D' || n, 'a', 'K', to_jsonb(n::text), now(), 1 FROM generate_series(1, 1200) AS n WHERE n % 10 > 0`,
      [session.userId],
    );
    await app().sql(
      `INSERT INTO fallback_keys (user_id, device_id, algorithm, key_id, key, used, uploaded_at)
       SELECT $1, 'D' || n, 'a', 'F', '"fallback"', false, now() FROM generate_series(10, 1200, 10) AS n`,
      [session.userId],
    );
    const wanted = Object.fromEntries(Array.from({ length: 1_200 }, (_, at) => [`D${at + 1}`, 'a']));
    const { body } = await post(session, '/keys/claim', {
      one_time_keys: { [session.userId]: wanted },
    }).expect(200);
    const given = Object.values(body.one_time_keys[session.userId] as Record<string, Record<string, string>>);
    const keys = given.map((one) => Object.values(one)[0]);
    expect(keys.filter((key) => key === 'fallback')).toHaveLength(120);
    expect(new Set(keys).size).toBe(1_081);
  });

  it('is refused if the answer would be too large', async () => {
    const session = await app().matrix.register();
    const users = names(40).map((name) => `@large-${name.toLowerCase()}:localhost`);
    await app().sql(`INSERT INTO accounts (user_id, created_at) SELECT unnest($1::text[]), now()`, [users]);
    await app().sql(
      `INSERT INTO devices (user_id, device_id, created_at) SELECT unnest($1::text[]), 'D', now()`,
      [users],
    );
    await app().sql(
      `INSERT INTO device_keys SELECT unnest($1::text[]), 'D', jsonb_build_object(
         'user_id', 'u', 'device_id', 'D', 'algorithms', '[]'::jsonb, 'keys', '{}'::jsonb, 'signatures', '{}'::jsonb,
         'x', repeat('x', 1000000)), now()`,
      [users],
    );
    const ask = (some: string[]) =>
      post(session, '/keys/query', { device_keys: Object.fromEntries(some.map((user) => [user, []])) });
    await expectRefused(ask(users), 'M_TOO_LARGE');
    const { body } = await ask(users.slice(0, 20)).expect(200);
    expect(Object.keys(body.device_keys)).toHaveLength(20);
  });
});

describe('The order of keys in canonical JSON', () => {
  it('is the order of their UTF-8 bytes', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.string({ unit: 'binary' }), { maxLength: 12 }), (keys) => {
        const object = Object.fromEntries(keys.filter((key) => key !== '__proto__').map((key) => [key, 1]));
        const sorted = Object.keys(object).toSorted((one, other) =>
          Buffer.compare(Buffer.from(one), Buffer.from(other)),
        );
        const expected = `{${sorted.map((key) => `${JSON.stringify(key)}:1`).join(',')}}`;
        expect(orderedJson(object)).toBe(expected);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('Limits that the operator configures', () => {
  const small = useApp({
    variables: {
      LIMIT_BODY: '8KiB',
      LIMIT_DEVICE_KEYS: '1KiB',
      LIMIT_USER_KEYS: '1KiB',
      LIMIT_KEY: '64B',
      LIMIT_CROSS_SIGNING_KEY: '128B',
      LIMIT_UNCLAIMED_KEYS: '3',
      LIMIT_LIFETIME_KEYS: '4',
      LIMIT_FALLBACK_KEYS: '1',
      LIMIT_CLAIMED_DEVICES: '1',
      LIMIT_QUERIED_USERS: '1',
      LIMIT_QUERIED_DEVICES: '1',
      LIMIT_QUERY_ANSWER: '1B',
      LIMIT_SIGNED_OBJECTS: '1',
      LIMIT_CHALLENGES: '1',
      LIMIT_CHALLENGE_PARAMETERS: '64B',
    },
  });
  const send = (session: ClientSession, path: string, body: object) =>
    small().matrix.call(session, 'post', path).send(body);
  const fallback = { 'a:F': { key: 'f', fallback: true, signatures: {} } };
  const calls: [string, number, string, (session: ClientSession) => [string, object]][] = [
    ['a body', 413, 'M_TOO_LARGE', () => ['/keys/upload', { more: 'x'.repeat(9_000) }]],
    [
      'identity keys',
      400,
      'M_TOO_LARGE',
      (session) => [
        '/keys/upload',
        { device_keys: { ...someKeys(session)['device_keys'], more: 'x'.repeat(2_000) } },
      ],
    ],
    ['a key', 400, 'M_TOO_LARGE', () => ['/keys/upload', { one_time_keys: { 'a:A': 'x'.repeat(65) } }]],
    [
      'a cross-signing key',
      400,
      'M_TOO_LARGE',
      ({ userId }) => ['/keys/device_signing/upload', new SigningUser(userId).upload()],
    ],
    ['unclaimed keys', 400, 'M_INVALID_PARAM', () => ['/keys/upload', { one_time_keys: oneTimeKeys(4) }]],
    [
      'fallback keys',
      400,
      'M_INVALID_PARAM',
      () => ['/keys/upload', { fallback_keys: { ...fallback, 'b:F': fallback['a:F'] } }],
    ],
    [
      'claimed devices',
      400,
      'M_INVALID_PARAM',
      ({ userId }) => ['/keys/claim', { one_time_keys: { [userId]: { A: 'a', B: 'a' } } }],
    ],
    [
      'queried users',
      400,
      'M_INVALID_PARAM',
      ({ userId }) => ['/keys/query', { device_keys: { [userId]: [], '@a:localhost': [] } }],
    ],
    [
      'queried devices',
      400,
      'M_INVALID_PARAM',
      ({ userId }) => ['/keys/query', { device_keys: { [userId]: ['A', 'B'] } }],
    ],
    [
      'signed objects',
      400,
      'M_INVALID_PARAM',
      ({ userId }) => ['/keys/signatures/upload', { [userId]: { A: {}, B: {} } }],
    ],
    ['parameters of a challenge', 400, 'M_TOO_LARGE', () => ['/delete_devices', { devices: names(20) }]],
  ];

  it.each(calls)('apply to %s', async (_, status, errcode, call) => {
    const session = await small().matrix.register();
    const [path, body] = call(session);
    expect(await send(session, path, body)).toMatchObject({ status, body: { errcode } });
  });

  it('apply to the lifetime keys of a device, and to challenges', async () => {
    const session = await small().matrix.register();
    await send(session, '/keys/upload', { one_time_keys: oneTimeKeys(3) }).expect(200);
    const claim = { one_time_keys: { [session.userId]: { [session.deviceId]: 'curve25519' } } };
    for (let nth = 0; nth < 3; nth += 1) await send(session, '/keys/claim', claim).expect(200);
    await send(session, '/keys/upload', { one_time_keys: oneTimeKeys(2, 10) }).expect(400);
    await send(session, '/keys/upload', { one_time_keys: oneTimeKeys(1, 10) }).expect(200);
    const { body: first } = await send(session, '/delete_devices', { devices: ['A'] }).expect(401);
    small().clock.advance(1_000);
    await send(session, '/delete_devices', { devices: ['A'] }).expect(401);
    const auth = { ...passwordOf(session), session: first.session };
    await send(session, '/delete_devices', { devices: ['A'], auth }).expect(400);
  });
});
