import { describe, expect, it } from 'vitest';
import { type ClientSession, passwordOf, someKeys, V3 } from '../../src/testing/matrix-client.js';
import { SigningDevice, SigningUser } from '../support/signing.js';
import { census, NOTHING, useApp } from '../support/test-app.js';

const app = useApp();
const ROUNDS = 15;

const times = <Result>(count: number, call: () => PromiseLike<Result>) =>
  Promise.all(Array.from({ length: count }, () => call()));

async function sessionWithKeys(extra?: object): Promise<ClientSession> {
  const session = await app().matrix.register(extra);
  await app().matrix.uploadKeys(session, someKeys(session)).expect(200);
  return session;
}

describe('Many users at once', () => {
  it('are not mixed up', async () => {
    const sessions = await times(20, () => app().matrix.register());
    const answers = await Promise.all(
      sessions.flatMap((session) => [app().matrix.whoami(session), app().matrix.whoami(session)]),
    );
    expect(answers.map(({ body }) => body['user_id'])).toEqual(
      sessions.flatMap(({ userId }) => [userId, userId]),
    );
  });
});

describe('Fifty concurrent logouts of one token', () => {
  it.each(['logout', 'logoutAll'] as const)(
    '%s: at least one is 200, the others are 200 or 401',
    async (endpoint) => {
      const session = await sessionWithKeys({ refresh_token: true });
      const answers = await times(50, () => app().matrix[endpoint](session));
      const statuses = new Set(answers.map(({ status }) => status));
      expect(statuses).toContain(200);
      expect([...statuses].filter((status) => status !== 200 && status !== 401)).toEqual([]);
      expect(await census(app(), session.userId)).toEqual(NOTHING);
    },
  );

  it('both kinds mixed, from several devices', async () => {
    const phone = await sessionWithKeys();
    const laptop = await app().matrix.login(phone.userId);
    const answers = await Promise.all([
      times(10, () => app().matrix.logout(phone)),
      times(10, () => app().matrix.logoutAll(laptop)),
      times(10, () => app().matrix.logoutAll(phone)),
    ]);
    expect(answers.flat().filter(({ status }) => status !== 200 && status !== 401)).toEqual([]);
    expect(await census(app(), phone.userId)).toEqual(NOTHING);
  });
});

describe('A logout in a race', () => {
  it.each(['logout', 'logoutAll'] as const)(
    '%s against key uploads leaves no key behind',
    async (endpoint) => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const session = await app().matrix.register();
        const [logout, ...uploads] = await Promise.all([
          app().matrix[endpoint](session),
          ...Array.from({ length: 4 }, () => app().matrix.uploadKeys(session, someKeys(session))),
        ]);
        expect(logout.status).toBe(200);
        expect(uploads.filter(({ status }) => status !== 200 && status !== 401)).toEqual([]);
        expect(await census(app(), session.userId)).toEqual(NOTHING);
      }
    },
  );

  it('against a login on the same device: the new session stays valid', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const session = await sessionWithKeys({ device_id: 'D', refresh_token: true });
      const [logout, again] = await Promise.all([
        app().matrix.logout(session),
        app().matrix.login(session.userId, { device_id: 'D' }),
      ]);
      expect([200, 401]).toContain(logout.status);
      expect(await app().matrix.whoami(again)).toMatchObject({ status: 200, body: { device_id: 'D' } });
      // The login came first and kept the device with its keys, or second and created a new device.
      const keys = logout.status === 200 ? 0 : 1;
      expect(await census(app(), session.userId)).toMatchObject({
        devices: 1,
        access_tokens: 1,
        device_keys: keys,
      });
    }
  });

  it('/all against logins on new devices: no token without a device, no device without a token', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const session = await app().matrix.register();
      const [logout, ...logins] = await Promise.all([
        app().matrix.logoutAll(session),
        ...Array.from({ length: 3 }, () => app().matrix.login(session.userId)),
      ]);
      expect(logout.status).toBe(200);
      const alive = await Promise.all(logins.map((login) => app().matrix.whoami(login)));
      const living = alive.filter(({ status }) => status === 200).length;
      expect(await census(app(), session.userId)).toMatchObject({ devices: living, access_tokens: living });
    }
  });
});

describe('Keys in a race', () => {
  it('against a device with the same ID: the second of the two is refused', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const session = await app().matrix.register();
      const keys = new SigningUser(session.userId);
      const [login, upload] = await Promise.all([
        app()
          .http.post(`${V3}/login`)
          .send({ ...passwordOf(session), device_id: keys.master.publicKey }),
        app().matrix.call(session, 'post', '/keys/device_signing/upload').send(keys.upload()),
      ]);
      expect([login.status, upload.status].toSorted()).toEqual([200, 403]);
    }
  });

  it('against a logout: neither a claim nor a signature leaves rows of the device behind', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const phone = await app().matrix.register();
      const keys = new SigningUser(phone.userId);
      await app().matrix.call(phone, 'post', '/keys/device_signing/upload').send(keys.upload()).expect(200);
      const laptop = await app().matrix.login(phone.userId);
      const device = new SigningDevice(laptop);
      await app()
        .matrix.uploadKeys(laptop, { ...someKeys(laptop), device_keys: device.deviceKeys() })
        .expect(200);
      const signed = keys.selfSigning.sign(device.deviceKeys(), phone.userId);
      const [logout, ...others] = await Promise.all([
        app().matrix.logout(laptop),
        app()
          .matrix.call(phone, 'post', '/keys/signatures/upload')
          .send({ [phone.userId]: { [laptop.deviceId]: signed } }),
        app()
          .matrix.call(phone, 'post', '/keys/claim')
          .send({ one_time_keys: { [phone.userId]: { [laptop.deviceId]: 'signed_curve25519' } } }),
      ]);
      expect([logout, ...others].map(({ status }) => status)).toEqual([200, 200, 200]);
      expect(await census(app(), phone.userId, laptop.deviceId)).toEqual(NOTHING);
    }
  });

  it('against each other: after concurrent replacements, the keys of one upload are stored completely', async () => {
    const session = await app().matrix.register();
    const uploads = Array.from({ length: 8 }, () => new SigningUser(session.userId));
    const answers = await Promise.all(
      uploads.map((keys) =>
        app()
          .matrix.call(session, 'post', '/keys/device_signing/upload')
          .send({ ...keys.upload(), auth: passwordOf(session) }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(uploads.map(() => 200));
    const current = await app().sql<{ public_key: string }>(
      `SELECT public_key FROM cross_signing_keys WHERE user_id = $1 AND replaced_at IS NULL ORDER BY usage`,
      [session.userId],
    );
    expect(
      uploads.map(({ master, selfSigning, userSigning }) =>
        [master, selfSigning, userSigning].map(({ publicKey }) => publicKey),
      ),
    ).toContainEqual(current.map((row) => row.public_key));
  });
});

describe('Deletions in a race', () => {
  it('against each other, a logout and a login: every answer is 200 or 401, and every token has a device', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const phone = await app().matrix.register({ device_id: 'PHONE' });
      const laptop = await app().matrix.login(phone.userId, { device_id: 'LAPTOP' });
      await app().matrix.uploadKeys(laptop, someKeys(laptop)).expect(200);
      const auth = passwordOf(phone);
      const answers = await Promise.all([
        app().matrix.call(phone, 'delete', '/devices/LAPTOP').send({ auth }),
        app()
          .matrix.call(phone, 'post', '/delete_devices')
          .send({ devices: ['PHONE', 'LAPTOP'], auth }),
        app().matrix.logout(laptop),
        app()
          .http.post(`${V3}/login`)
          .send({ ...auth, device_id: 'LAPTOP' }),
      ]);
      expect(answers.filter(({ status }) => ![200, 401].includes(status))).toEqual([]);
      const { devices, access_tokens: tokens } = await census(app(), phone.userId);
      expect(tokens).toBe(devices);
    }
  });
});
