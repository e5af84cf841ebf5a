import { describe, expect, it } from 'vitest';
import { type ClientSession, someKeys } from '../support/matrix-client.js';
import { NOTHING, useApp } from '../support/test-app.js';

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
  it('are each told apart', async () => {
    const sessions = await times(20, () => app().matrix.register());
    const answers = await Promise.all(
      sessions.flatMap((session) => [app().matrix.whoami(session), app().matrix.whoami(session)]),
    );
    expect(answers.map(({ body }) => body['user_id'])).toEqual(
      sessions.flatMap(({ userId }) => [userId, userId]),
    );
  });
});

describe('Fifty logouts of one token at once', () => {
  it.each(['logout', 'logoutAll'] as const)(
    '%s: at least one is 200, the others are 200 or 401',
    async (endpoint) => {
      const session = await sessionWithKeys({ refresh_token: true });
      const answers = await times(50, () => app().matrix[endpoint](session));
      const statuses = new Set(answers.map(({ status }) => status));
      expect(statuses).toContain(200);
      expect([...statuses].filter((status) => status !== 200 && status !== 401)).toEqual([]);
      expect(await app().census(session.userId)).toEqual(NOTHING);
    },
  );

  it('both kinds, from several devices, mixed', async () => {
    const phone = await sessionWithKeys();
    const laptop = await app().matrix.login(phone.userId);
    const answers = await Promise.all([
      times(10, () => app().matrix.logout(phone)),
      times(10, () => app().matrix.logoutAll(laptop)),
      times(10, () => app().matrix.logoutAll(phone)),
    ]);
    expect(answers.flat().filter(({ status }) => status !== 200 && status !== 401)).toEqual([]);
    expect(await app().census(phone.userId)).toEqual(NOTHING);
  });
});

describe('A logout that races', () => {
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
        expect(await app().census(session.userId)).toEqual(NOTHING);
      }
    },
  );

  it('against a login on the same device: the new session lives', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const session = await sessionWithKeys({ device_id: 'D', refresh_token: true });
      const [logout, again] = await Promise.all([
        app().matrix.logout(session),
        app().matrix.login(session.userId, { device_id: 'D' }),
      ]);
      expect([200, 401]).toContain(logout.status);
      expect(await app().matrix.whoami(again)).toMatchObject({ status: 200, body: { device_id: 'D' } });
      // The login came first and kept the device with its keys, or second, to a device newly born.
      const keys = logout.status === 200 ? 0 : 1;
      expect(await app().census(session.userId)).toMatchObject({
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
      expect(await app().census(session.userId)).toMatchObject({ devices: living, access_tokens: living });
    }
  });
});
