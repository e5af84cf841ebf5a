import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PasswordDecoy } from '../../src/accounts/password-decoy.js';
import { PasswordsService } from '../../src/accounts/passwords.service.js';
import { settingsOf } from '../../src/system/password-hasher.js';
import { PasswordHasher } from '../../src/system/password-hasher.js';
import {
  type ClientSession,
  PASSWORD,
  passwordOf,
  uniqueUsername,
  V3,
} from '../../src/testing/matrix-client.js';
import { TestApp } from '../support/test-app.js';

let before: TestApp;
let after: TestApp;

beforeAll(async () => {
  before = await TestApp.start({
    variables: { PASSWORD_HASH_MEMORY_KIB: '8192', PASSWORD_HASH_PASSES: '1' },
  });
  for (let nth = 0; nth < 5; nth += 1) await before.matrix.register();
  after = await TestApp.start({
    database: before.database,
    variables: { PASSWORD_HASH_MEMORY_KIB: '16384', PASSWORD_HASH_PASSES: '2', GUESTS: 'allowed' },
  });
});
afterAll(async () => {
  await after?.stop();
  await before?.stop();
});

const settingsOfUser = async ({ userId }: Pick<ClientSession, 'userId'>) => {
  const [row] = await after.sql<{ password_hash: string }>(
    'SELECT password_hash FROM accounts WHERE user_id = $1',
    [userId],
  );
  return settingsOf(row!.password_hash);
};
const OLD = { memoryKib: 8_192, passes: 1 };
const NEW = { memoryKib: 16_384, passes: 2 };

describe('After the hash settings were raised', () => {
  it('a login of an unknown user costs as much as that of most known users', async () => {
    const hasher = after.nest.get(PasswordHasher);
    const decoy = async () => {
      expect(await hasher.matches(null, PASSWORD)).toBe(false);
      return settingsOf((await hasher['decoy'])!);
    };
    await after.nest.get(PasswordDecoy).look();
    expect(await decoy()).toEqual(OLD);
    for (let nth = 0; nth < 8; nth += 1) await after.matrix.register();
    await after.nest.get(PasswordDecoy).look();
    expect(await decoy()).toEqual(NEW);
    await after.sql('UPDATE accounts SET password_hash = NULL');
    await after.nest.get(PasswordDecoy).look();
    expect(await decoy()).toEqual(NEW);
  });

  it('the next login replaces the hash, but a wrong password does not', async () => {
    const session = await before.matrix.register();
    const wrong = { type: 'm.login.password', user: session.userId, password: 'wrong' };
    await after.http.post(`${V3}/login`).send(wrong).expect(403);
    expect(await settingsOfUser(session)).toEqual(OLD);
    await after.matrix.login(session.userId);
    expect(await settingsOfUser(session)).toEqual(NEW);
    await after.http.post(`${V3}/login`).send(wrong).expect(403);
    await after.matrix.login(session.userId);
  });

  it('concurrent logins all succeed, whichever of them replaces the hash', async () => {
    const session = await before.matrix.register();
    await Promise.all(Array.from({ length: 6 }, () => after.matrix.login(session.userId)));
    expect(await settingsOfUser(session)).toEqual(NEW);
  });

  it('interactive authentication also replaces the hash, and still succeeds', async () => {
    const session = await before.matrix.register();
    await after.matrix
      .call(session, 'post', '/delete_devices')
      .send({ devices: [], auth: passwordOf(session) })
      .expect(200);
    expect(await settingsOfUser(session)).toEqual(NEW);
  });

  it('a login succeeds even if the hash cannot be replaced now', async () => {
    const session = await before.matrix.register();
    const failure = after.fail(PasswordsService, 'hash', { error: new Error('The queue is full') });
    await after.matrix.login(session.userId);
    failure.restore();
    expect(failure.calls).toBe(1);
    expect(await settingsOfUser(session)).toEqual(OLD);
  });

  it('lower settings replace no hash, and impossible settings are not imitated', async () => {
    const session = await after.matrix.register();
    await before.matrix.login(session.userId);
    expect(await settingsOfUser(session)).toEqual(NEW);
    const hasher = after.nest.get(PasswordHasher);
    await hasher.imitate({ memoryKib: 1, passes: 1 });
    expect(await hasher.matches(null, PASSWORD)).toBe(false);
  });
});

describe('A password', () => {
  const COMPOSED = 'caf\u00e9 \u00fcber dem see';
  const IN_PARTS = 'cafe\u0301 u\u0308ber dem see';
  const NEXT = 'na\u00efve \u212b ngstr\u00f6m';
  const NEXT_IN_PARTS = 'nai\u0308ve A\u030a ngstro\u0308m';

  it('is accepted in every Unicode normalization: at login, in interactive authentication and in a change', async () => {
    for (const [chosen, typed] of [
      [COMPOSED, IN_PARTS],
      [IN_PARTS, COMPOSED],
    ] as const) {
      const session = await after.matrix.register({ password: chosen });
      for (const password of [chosen, typed]) await after.matrix.login(session.userId, { password });
      await after.matrix
        .call(session, 'post', '/account/password')
        .send({ new_password: NEXT_IN_PARTS, auth: passwordOf(session, typed) })
        .expect(200);
      for (const password of [NEXT, NEXT_IN_PARTS]) await after.matrix.login(session.userId, { password });
    }
  });

  it('with an old hash of its unnormalized form is still accepted, and hashed again', async () => {
    const session = await after.matrix.register();
    const hash = await after.nest.get(PasswordHasher).hash(IN_PARTS);
    await after.sql('UPDATE accounts SET password_hash = $2 WHERE user_id = $1', [session.userId, hash]);
    const login = { type: 'm.login.password', user: session.userId };
    await after.http
      .post(`${V3}/login`)
      .send({ ...login, password: COMPOSED })
      .expect(403);
    await after.http
      .post(`${V3}/login`)
      .send({ ...login, password: 'wrong' })
      .expect(403);
    await after.matrix.login(session.userId, { password: IN_PARTS });
    for (const password of [COMPOSED, IN_PARTS]) await after.matrix.login(session.userId, { password });
  });

  it('is checked for weakness in its normalized form', async () => {
    const body = {
      username: uniqueUsername(),
      password: '\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff44',
      auth: { type: 'm.login.dummy' },
    };
    const answer = await after.http.post(`${V3}/register`).send(body).expect(400);
    expect(answer.body.errcode).toBe('M_WEAK_PASSWORD');
  });
});
