import { describe, expect, it } from 'vitest';
import { type ClientSession, passwordOf, V3 } from '../../src/testing/matrix-client.js';
import { SigningDevice, SigningKey, SigningUser } from '../support/signing.js';
import { useApp } from '../support/test-app.js';

const app = useApp();
const UPLOAD = '/keys/device_signing/upload';

const upload = (session: ClientSession, body: object) =>
  app().matrix.call(session, 'post', UPLOAD).send(body);
const sign = (session: ClientSession, body: object) =>
  app().matrix.call(session, 'post', '/keys/signatures/upload').send(body);

/** Queries the keys of a user. */
async function query(by: ClientSession, userId: string) {
  const { body } = await app()
    .matrix.call(by, 'post', '/keys/query')
    .send({ device_keys: { [userId]: [] } })
    .expect(200);
  return {
    devices: body.device_keys[userId],
    master: body.master_keys[userId],
    selfSigning: body.self_signing_keys[userId],
    userSigning: body.user_signing_keys[userId],
  };
}

interface Someone {
  readonly session: ClientSession;
  readonly device: SigningDevice;
  readonly keys: SigningUser;
}

/** Registers a user whose device has identity keys. */
async function someone(extra?: object): Promise<Someone> {
  const session = await app().matrix.register(extra);
  const device = new SigningDevice(session);
  await app().matrix.uploadKeys(session, { device_keys: device.deviceKeys() }).expect(200);
  return { session, device, keys: new SigningUser(session.userId) };
}

/** Registers a user who also has cross-signing keys. */
async function crossSigner(extra?: object): Promise<Someone> {
  const user = await someone(extra);
  await upload(user.session, user.keys.upload()).expect(200, {});
  return user;
}

describe('POST /keys/device_signing/upload', () => {
  it('accepts the first keys without authentication, and shows the user-signing key only to its user', async () => {
    const { session, keys } = await crossSigner();
    const other = await app().matrix.register();
    const { master_key, self_signing_key, user_signing_key } = keys.upload();
    expect(await query(session, session.userId)).toMatchObject({
      master: master_key,
      selfSigning: self_signing_key,
      userSigning: user_signing_key,
    });
    expect(await query(other, session.userId)).toMatchObject({
      master: master_key,
      selfSigning: self_signing_key,
      userSigning: undefined,
    });
  });

  it('accepts the same keys again without authentication', async () => {
    const { session, keys } = await crossSigner();
    await upload(session, keys.upload()).expect(200, {});
    await upload(session, { master_key: keys.masterKey() }).expect(200, {});
    await upload(session, { ...keys.upload(), auth: {} }).expect(200, {});
    await upload(session, { ...keys.upload(), auth: { session: null } }).expect(200, {});
  });

  it('requires the password if the request does not repeat the master key', async () => {
    const { session, keys } = await crossSigner();
    for (const body of [{}, { self_signing_key: keys.selfSigningKey() }]) {
      await upload(session, body).expect(401);
      await upload(session, { ...body, auth: passwordOf(session) }).expect(200, {});
    }
    expect((await query(session, session.userId)).selfSigning).toEqual(keys.selfSigningKey());
  });

  it('requires the password for different keys, then replaces the old ones and deletes their signatures', async () => {
    const { session, device, keys } = await crossSigner();
    const { userId, deviceId } = session;
    const signed = keys.selfSigning.sign(device.deviceKeys(), userId);
    await sign(session, { [userId]: { [deviceId]: signed } }).expect(200, { failures: {} });
    const next = new SigningUser(userId);
    const challenge = await upload(session, next.upload()).expect(401);
    expect(challenge.body).toEqual({
      flows: [{ stages: ['m.login.password'] }],
      params: {},
      session: expect.any(String),
    });
    expect((await query(session, userId)).master).toEqual(keys.masterKey());
    const auth = { ...passwordOf(session), session: challenge.body.session };
    await upload(session, { ...next.upload(), auth }).expect(200, {});
    const { master, devices } = await query(session, userId);
    expect(master).toEqual(next.masterKey());
    expect(devices[deviceId].signatures).toEqual(device.deviceKeys()['signatures']);
  });

  it('stores the keys of the first request if the second one contains only auth', async () => {
    const { session } = await crossSigner();
    const asked = new SigningUser(session.userId);
    const challenge = await upload(session, asked.upload()).expect(401);
    const auth = { ...passwordOf(session), session: challenge.body.session };
    await upload(session, { auth }).expect(200, {});
    expect((await query(session, session.userId)).master).toEqual(asked.masterKey());
  });

  it('refuses keys that differ from those of the first request, before and after authentication', async () => {
    const { session, keys } = await crossSigner();
    const [asked, other] = [new SigningUser(session.userId), new SigningUser(session.userId)];
    const challenge = await upload(session, asked.upload()).expect(401);
    const auth = { ...passwordOf(session), session: challenge.body.session };
    await upload(session, { ...other.upload(), auth }).expect(403);
    expect((await query(session, session.userId)).master).toEqual(keys.masterKey());
    await upload(session, { ...asked.upload(), auth }).expect(200);
    await upload(session, { ...other.upload(), auth }).expect(403);
    expect((await query(session, session.userId)).master).toEqual(asked.masterKey());
  });

  it('requires the password for a key that is added to a stored master key', async () => {
    const { session, keys } = await someone();
    await upload(session, { master_key: keys.masterKey() }).expect(200);
    await upload(session, { self_signing_key: keys.selfSigningKey() }).expect(401);
    await upload(session, { self_signing_key: keys.selfSigningKey(), auth: passwordOf(session) }).expect(200);
    expect((await query(session, session.userId)).selfSigning).toEqual(keys.selfSigningKey());
  });

  it('retires the other keys together with the master key that signed them', async () => {
    const { session } = await crossSigner();
    const next = new SigningUser(session.userId);
    await upload(session, { master_key: next.masterKey(), auth: passwordOf(session) }).expect(200);
    expect(await query(session, session.userId)).toMatchObject({
      master: next.masterKey(),
      selfSigning: undefined,
      userSigning: undefined,
    });
  });

  it.each(['wrong password', 'the password of another'])('refuses %s', async (which) => {
    const { session, keys } = await crossSigner();
    const other = await app().matrix.register();
    const auth = which === 'wrong password' ? passwordOf(session, 'wrong') : passwordOf(other);
    const answer = await upload(session, { ...new SigningUser(session.userId).upload(), auth });
    expect(answer).toMatchObject({
      status: which === 'wrong password' ? 401 : 403,
      body: { errcode: 'M_FORBIDDEN' },
    });
    expect((await query(session, session.userId)).master).toEqual(keys.masterKey());
  });

  it('refuses keys that the master key has not signed', async () => {
    const { session, keys } = await someone();
    const stranger = new SigningKey();
    const unsigned = { ...keys.selfSigningKey(), signatures: {} };
    const forged = { ...keys.selfSigningKey(stranger), signatures: keys.userSigningKey()['signatures'] };
    for (const self_signing_key of [keys.selfSigningKey(stranger), unsigned, forged]) {
      const answer = await upload(session, { master_key: keys.masterKey(), self_signing_key }).expect(400);
      expect(answer.body).toMatchObject({ errcode: 'M_INVALID_SIGNATURE' });
    }
    expect((await query(session, session.userId)).master).toBeUndefined();
  });

  it('refuses a key if there is no master key', async () => {
    const { session, keys } = await someone();
    const answer = await upload(session, { self_signing_key: keys.selfSigningKey() }).expect(400);
    expect(answer.body).toMatchObject({ errcode: 'M_MISSING_PARAM' });
  });

  it('refuses an invalid signature by a device over the master key', async () => {
    const { session, keys, device } = await someone();
    const master_key = new SigningKey().sign(keys.masterKey(), session.userId, device.keyId);
    const answer = await upload(session, { master_key }).expect(400);
    expect(answer.body).toMatchObject({ errcode: 'M_INVALID_SIGNATURE' });
  });

  it('keeps a signature by a device over the master key, and drops signatures that nobody can check', async () => {
    const { session, keys, device } = await someone();
    const signed = device.sign(keys.masterKey());
    const odd = new SigningKey().sign(signed, session.userId, 'ed25519:GHOST');
    await upload(session, { master_key: odd }).expect(200);
    expect((await query(session, session.userId)).master).toEqual(signed);
  });

  it('refuses a key that is the ID of a device of the user with 403', async () => {
    const keys = new SigningUser('');
    const session = await app().matrix.register({ device_id: keys.master.publicKey });
    Object.assign(keys, { userId: session.userId });
    const answer = await upload(session, keys.upload()).expect(403);
    expect(answer.body).toMatchObject({ errcode: 'M_FORBIDDEN' });
    expect((await query(session, session.userId)).master).toBeUndefined();
  });

  it.each(['current', 'replaced'])('prevents a login with a %s key as its device ID: 403', async (which) => {
    const { session, keys } = await crossSigner();
    if (which === 'replaced') {
      const auth = passwordOf(session);
      await upload(session, { ...new SigningUser(session.userId).upload(), auth }).expect(200);
    }
    const body = { ...passwordOf(session), device_id: keys.master.publicKey };
    const answer = await app().http.post(`${V3}/login`).send(body).expect(403);
    expect(answer.body).toMatchObject({ errcode: 'M_FORBIDDEN' });
    const other = await app().matrix.register();
    await app().matrix.login(other.userId, { device_id: keys.master.publicKey });
  });

  it('accepts an earlier key again, with the password', async () => {
    const { session, keys } = await crossSigner();
    const auth = passwordOf(session);
    await upload(session, { ...new SigningUser(session.userId).upload(), auth }).expect(200);
    await upload(session, { ...keys.upload(), auth }).expect(200);
    expect((await query(session, session.userId)).master).toEqual(keys.masterKey());
  });

  const malformed: [string, (keys: SigningUser) => object][] = [
    ['another user', (keys) => ({ ...keys.masterKey(), user_id: '@other:localhost' })],
    ['another usage', (keys) => keys.selfSigningKey()],
    ['no key', (keys) => ({ ...keys.masterKey(), keys: {} })],
    ['two keys', (keys) => ({ ...keys.masterKey(), keys: { 'ed25519:a': 'a', 'ed25519:b': 'b' } })],
    [
      'a key of another name',
      (keys) => ({ ...keys.masterKey(), keys: { 'ed25519:a': keys.master.publicKey } }),
    ],
    ['a key that is none', (keys) => ({ ...keys.masterKey(), keys: { 'ed25519:AAAA': 'AAAA' } })],
  ];
  it.each(malformed)('refuses a master key with %s: 400 M_INVALID_PARAM', async (_, master) => {
    const { session, keys } = await someone();
    const answer = await upload(session, { master_key: master(keys) }).expect(400);
    expect(answer.body).toEqual({ errcode: 'M_INVALID_PARAM', error: expect.any(String) });
  });

  const wrongTypes: [string, (keys: SigningUser) => object][] = [
    ['a user_id that is a number', (keys) => ({ ...keys.masterKey(), user_id: 7 })],
    ['a usage that is a text', (keys) => ({ ...keys.masterKey(), usage: 'master' })],
    ['a usage that holds a number', (keys) => ({ ...keys.masterKey(), usage: ['master', 7] })],
    ['a usage that holds null', (keys) => ({ ...keys.masterKey(), usage: ['master', null] })],
    ['keys that are null', (keys) => ({ ...keys.masterKey(), keys: null })],
    ['a key that is a number', (keys) => ({ ...keys.masterKey(), keys: { 'ed25519:7': 7 } })],
    ...[7, 'x', null, [], { a: 7 }, { a: null }, { a: [] }, { a: { x: 7 } }].map(
      (signatures): [string, (keys: SigningUser) => object] => [
        `signatures that are ${JSON.stringify(signatures)}`,
        (keys) => ({ ...keys.masterKey(), signatures }),
      ],
    ),
  ];
  it.each(wrongTypes)('refuses a master key with %s, and stores nothing', async (_, master) => {
    const { session, keys } = await someone();
    const answer = await upload(session, { master_key: master(keys) }).expect(400);
    expect(answer.body).toEqual({ errcode: 'M_INVALID_PARAM', error: expect.any(String) });
    expect((await query(session, session.userId)).master).toBeUndefined();
  });

  it('returns a key as it was uploaded, whether it had no signatures field or an empty one', async () => {
    for (const extra of [{}, { signatures: {} }]) {
      const { session, keys } = await someone();
      const master_key = { ...keys.masterKey(), ...extra };
      await upload(session, { master_key }).expect(200);
      expect((await query(session, session.userId)).master).toEqual(master_key);
    }
  });

  it('refuses one public key for two purposes', async () => {
    const { session, keys } = await someone();
    Object.assign(keys, { selfSigning: keys.master });
    const answer = await upload(session, keys.upload()).expect(400);
    expect(answer.body).toMatchObject({ errcode: 'M_INVALID_PARAM' });
    const { session: another, keys: others } = await crossSigner();
    const twice = Object.assign(new SigningUser(another.userId), { userSigning: others.selfSigning });
    const user_signing_key = twice.userSigningKey(others.master);
    await upload(another, { user_signing_key, auth: passwordOf(another) }).expect(400);
  });

  it('refuses a body of the wrong shape, and does not exist under r0', async () => {
    const { session } = await someone();
    expect((await upload(session, { master_key: 7 }).expect(400)).body).toMatchObject({
      errcode: 'M_BAD_JSON',
    });
    await app().http.post(`/_matrix/client/r0${UPLOAD}`).send({}).expect(404);
  });

  it('stores keys that outlive every logout', async () => {
    const { session, keys } = await crossSigner();
    await app().matrix.logoutAll(session).expect(200);
    const again = await app().matrix.login(session.userId);
    expect(await query(again, session.userId)).toEqual({
      devices: {},
      master: keys.masterKey(),
      selfSigning: keys.selfSigningKey(),
      userSigning: keys.userSigningKey(),
    });
  });
});

describe('Cross-signing keys', () => {
  it('are returned as they were uploaded: without signatures if there were none', async () => {
    const session = await app().matrix.register();
    const keys = new SigningUser(session.userId);
    const { signatures: _, ...master } = keys.masterKey();
    await upload(session, { ...keys.upload(), master_key: master }).expect(200);
    const answer = await app()
      .matrix.call(session, 'post', '/keys/query')
      .send({ device_keys: { [session.userId]: [] } });
    expect(answer.body.master_keys[session.userId]).toEqual(master);
  });

  it('need no authentication if nothing changes, whatever auth contains', async () => {
    const { session, keys } = await crossSigner();
    const auth = { ...passwordOf(session), session: 'used up long ago' };
    await upload(session, { ...keys.upload(), auth }).expect(200, {});
  });

  it('are deleted with their signatures when the account is deactivated', async () => {
    const [alice, bob] = [await crossSigner(), await crossSigner()];
    const signed = alice.keys.userSigning.sign(bob.keys.masterKey(), alice.session.userId);
    await sign(alice.session, { [bob.session.userId]: { [bob.keys.master.publicKey]: signed } }).expect(200);
    const rows = () =>
      app().sql('SELECT FROM key_signatures WHERE signer_user_id = $1', [alice.session.userId]);
    expect((await rows()).length).toBeGreaterThan(0);
    await app()
      .matrix.call(alice.session, 'post', '/account/deactivate')
      .send({ auth: passwordOf(alice.session) })
      .expect(200);
    const { body } = await app()
      .matrix.call(bob.session, 'post', '/keys/query')
      .send({ device_keys: { [alice.session.userId]: [] } });
    expect([body.master_keys, body.self_signing_keys]).toEqual([{}, {}]);
    expect(await rows()).toEqual([]);
    expect(
      await app().sql('SELECT FROM cross_signing_keys WHERE user_id = $1', [alice.session.userId]),
    ).toEqual([]);
    const changes = await app().sql<{ change: string }>(
      'SELECT change FROM device_list_changes WHERE user_id = $1 ORDER BY position DESC LIMIT 2',
      [alice.session.userId],
    );
    expect(changes.map(({ change }) => change)).toContain('cross_signing_keys');
  });
});

describe('POST /keys/signatures/upload', () => {
  it('accepts a signature by the self-signing key over a device, and shows it to everybody', async () => {
    const { session, device, keys } = await crossSigner();
    const { userId, deviceId } = session;
    const signed = keys.selfSigning.sign(device.deviceKeys(), userId);
    await sign(session, { [userId]: { [deviceId]: signed } }).expect(200, { failures: {} });
    await sign(session, { [userId]: { [deviceId]: signed } }).expect(200, { failures: {} });
    const other = await app().matrix.register();
    expect((await query(other, userId)).devices[deviceId].signatures).toEqual(signed['signatures']);
  });

  it('accepts an object as /keys/query returned it, including the unsigned part', async () => {
    const { session, keys } = await crossSigner({ initial_device_display_name: 'Phone' });
    const { userId, deviceId } = session;
    const { devices } = await query(session, userId);
    const { unsigned, ...object } = devices[deviceId];
    const signed = { ...keys.selfSigning.sign(object, userId), unsigned };
    await sign(session, { [userId]: { [deviceId]: signed } }).expect(200, { failures: {} });
  });

  it('accepts a signature by a device over its user’s master key, and deletes it with the device', async () => {
    const { session, device, keys } = await crossSigner();
    const { userId } = session;
    const laptop = await app().matrix.login(userId);
    const signed = device.sign(keys.masterKey());
    await sign(session, { [userId]: { [keys.master.publicKey]: signed } }).expect(200, { failures: {} });
    expect((await query(laptop, userId)).master).toEqual(signed);
    await app().matrix.logout(session).expect(200);
    expect((await query(laptop, userId)).master).toEqual(keys.masterKey());
  });

  it('accepts a signature by the user-signing key over another user’s master key, and shows it only to the signer', async () => {
    const alice = await crossSigner();
    const bob = await crossSigner();
    const carol = await crossSigner();
    const signed = alice.keys.userSigning.sign(bob.keys.masterKey(), alice.session.userId);
    const body = { [bob.session.userId]: { [bob.keys.master.publicKey]: signed } };
    await sign(alice.session, body).expect(200, { failures: {} });
    expect((await query(alice.session, bob.session.userId)).master).toEqual(signed);
    for (const other of [bob, carol])
      expect((await query(other.session, bob.session.userId)).master).toEqual(bob.keys.masterKey());
    await app().matrix.logoutAll(alice.session).expect(200);
    const again = await app().matrix.login(alice.session.userId);
    expect((await query(again, bob.session.userId)).master).toEqual(signed);
  });

  it('shows only signatures by the current user-signing key', async () => {
    const alice = await crossSigner();
    const bob = await crossSigner();
    const { userId } = alice.session;
    const verify = (keys: SigningUser) => {
      const signed = keys.userSigning.sign(bob.keys.masterKey(), userId);
      return sign(alice.session, { [bob.session.userId]: { [bob.keys.master.publicKey]: signed } })
        .expect(200, { failures: {} })
        .then(() => signed);
    };
    await verify(alice.keys);
    const next = new SigningUser(userId);
    await upload(alice.session, { ...next.upload(), auth: passwordOf(alice.session) }).expect(200);
    expect((await query(alice.session, bob.session.userId)).master).toEqual(bob.keys.masterKey());
    const signed = await verify(next);
    expect((await query(alice.session, bob.session.userId)).master).toEqual(signed);
  });

  it('refuses a signature that is not unpadded base64', async () => {
    const { session, device, keys } = await crossSigner();
    const { userId, deviceId } = session;
    const { selfSigning } = keys;
    const good = selfSigning.sign(device.deviceKeys(), userId);
    const { [userId]: own } = good['signatures'] as Record<string, Record<string, string>>;
    for (const odd of [`!!${own![selfSigning.keyId]}`, `${own![selfSigning.keyId]}==`]) {
      const signatures = { [userId]: { ...own, [selfSigning.keyId]: odd } };
      const { body } = await sign(session, { [userId]: { [deviceId]: { ...good, signatures } } }).expect(200);
      expect(body.failures[userId][deviceId]).toMatchObject({ errcode: 'M_INVALID_SIGNATURE' });
    }
  });

  it('stores the valid signatures and reports the others, each with a reason', async () => {
    const alice = await crossSigner();
    const bob = await crossSigner();
    const { userId, deviceId } = alice.session;
    const { selfSigning, userSigning, master } = alice.keys;
    const good = selfSigning.sign(alice.device.deviceKeys(), userId);
    const laptop = await app().matrix.login(userId, { device_id: 'LAPTOP' });
    const laptopDevice = new SigningDevice(laptop);
    await app().matrix.uploadKeys(laptop, { device_keys: laptopDevice.deviceKeys() }).expect(200);
    const tablet = await app().matrix.login(userId, { device_id: 'TABLET' });
    const tabletKeys = new SigningDevice(tablet).deviceKeys();
    await app().matrix.uploadKeys(tablet, { device_keys: tabletKeys }).expect(200);
    const { body } = await sign(alice.session, {
      [userId]: {
        [deviceId]: good,
        // Signed only by itself and by a key that may not sign devices.
        LAPTOP: master.sign(laptopDevice.deviceKeys(), userId),
        // Not the keys that the server has.
        TABLET: selfSigning.sign({ ...tabletKeys, extra: 1 }, userId),
        GONE: selfSigning.sign({ device_id: 'GONE' }, userId),
        [master.publicKey]: new SigningKey().sign(alice.keys.masterKey(), userId, alice.device.keyId),
      },
      [bob.session.userId]: {
        [bob.session.deviceId]: userSigning.sign(bob.device.deviceKeys(), userId),
        [bob.keys.master.publicKey]: selfSigning.sign(bob.keys.masterKey(), userId),
      },
      '@nobody:localhost': { D: {} },
      '@far:elsewhere.org': { D: {} },
    }).expect(200);
    const invalid = { errcode: 'M_INVALID_SIGNATURE', error: expect.any(String) };
    const unknown = { errcode: 'M_NOT_FOUND', error: expect.any(String) };
    expect(body).toEqual({
      failures: {
        [userId]: { LAPTOP: invalid, TABLET: invalid, GONE: unknown, [master.publicKey]: invalid },
        [bob.session.userId]: { [bob.session.deviceId]: unknown, [bob.keys.master.publicKey]: invalid },
        '@nobody:localhost': { D: unknown },
        '@far:elsewhere.org': { D: unknown },
      },
    });
    expect((await query(bob.session, userId)).devices[deviceId].signatures).toEqual(good['signatures']);
  });

  it('reports failures for all names, including those of built-in properties', async () => {
    const { session } = await crossSigner();
    const body = JSON.parse('{"__proto__":{"__proto__":{}},"constructor":{"prototype":{}}}');
    const answer = await sign(session, body).expect(200);
    expect(Object.keys(answer.body.failures)).toEqual(['__proto__', 'constructor']);
    expect({}).not.toHaveProperty('errcode');
    const odd = JSON.parse(
      `{"${session.userId}":{"x":{"signatures":{"${session.userId}":{"constructor":"x"}}}}}`,
    );
    await sign(session, odd).expect(200);
  });

  it.each([{ '@a:localhost': 7 }, { '@a:localhost': [] }, { '@a:localhost': { D: 'x' } }])(
    'refuses %j with 400',
    async (body) => {
      const { session } = await someone();
      expect((await sign(session, body).expect(400)).body).toMatchObject({ errcode: 'M_BAD_JSON' });
    },
  );
});

describe('A device that is created again with its old ID', () => {
  it('has no earlier signatures, and is signed and verified as a new device', async () => {
    const { session, device, keys } = await crossSigner({ device_id: 'PHONE' });
    const { userId } = session;
    const signed = keys.selfSigning.sign(device.deviceKeys(), userId);
    await sign(session, { [userId]: { PHONE: signed } }).expect(200, { failures: {} });
    await app().matrix.logout(session).expect(200);

    const again = await app().matrix.login(userId, { device_id: 'PHONE' });
    const reborn = new SigningDevice(again);
    await app().matrix.uploadKeys(again, { device_keys: reborn.deviceKeys() }).expect(200);
    expect((await query(again, userId)).devices['PHONE'].signatures).toEqual(
      reborn.deviceKeys()['signatures'],
    );
    const stale = await sign(again, { [userId]: { PHONE: signed } }).expect(200);
    expect(stale.body.failures[userId].PHONE).toMatchObject({ errcode: 'M_INVALID_SIGNATURE' });

    const fresh = keys.selfSigning.sign(reborn.deviceKeys(), userId);
    await sign(again, { [userId]: { PHONE: fresh } }).expect(200, { failures: {} });
    const master = reborn.sign(keys.masterKey());
    await sign(again, { [userId]: { [keys.master.publicKey]: master } }).expect(200, { failures: {} });
    expect(await query(again, userId)).toMatchObject({
      devices: { PHONE: { signatures: fresh['signatures'] } },
      master,
    });
  });

  it('loses earlier signatures if it stays and changes its identity keys', async () => {
    const { session, device, keys } = await crossSigner();
    const { userId, deviceId } = session;
    const signed = keys.selfSigning.sign(device.deviceKeys(), userId);
    await sign(session, { [userId]: { [deviceId]: signed } }).expect(200, { failures: {} });
    const other = new SigningDevice(session);
    await app().matrix.uploadKeys(session, { device_keys: other.deviceKeys() }).expect(200);
    const { devices } = await query(session, userId);
    expect(devices[deviceId].signatures).toEqual(other.deviceKeys()['signatures']);
  });

  it('keeps earlier signatures if only its own signatures change', async () => {
    const { session, device, keys } = await crossSigner();
    const { userId, deviceId } = session;
    const signed = keys.selfSigning.sign(device.deviceKeys(), userId);
    await sign(session, { [userId]: { [deviceId]: signed } }).expect(200, { failures: {} });
    await app()
      .matrix.uploadKeys(session, { device_keys: { ...device.deviceKeys(), signatures: {} } })
      .expect(200);
    const { devices } = await query(session, userId);
    expect(Object.keys(devices[deviceId].signatures[userId])).toEqual([keys.selfSigning.keyId]);
  });
});
