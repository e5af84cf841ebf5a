import pg from 'pg';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type ClientSession, PASSWORD, someKeys, V3 } from '../../src/testing/matrix-client.js';
import { Bystander, lockWaiters } from '../support/interleaving.js';
import { useApp } from '../support/test-app.js';

// Whoever comes while two transactions are under way shares the next one. Two are kept under way here, by locks that somebody
// holds, until everybody else has come.
const ADMIN = '@admin:localhost';
const app = useApp({ variables: { SERVER_ADMINS: ADMIN } });
const query = vi.spyOn(pg.Client.prototype, 'query');
const commits = () => query.mock.calls.filter(([text]) => (text as unknown) === 'COMMIT').length;
const LOCK_DEVICES = 'SELECT FROM devices WHERE user_id = ANY ($1) FOR UPDATE';
const LOCK_ACCOUNTS = 'SELECT FROM accounts WHERE user_id = ANY ($1) FOR UPDATE';

afterEach(() => query.mockClear());

interface Answer {
  readonly status: number;
  readonly body: {
    readonly errcode?: string;
    readonly soft_logout?: boolean;
    readonly access_token?: string;
    readonly one_time_keys?: Record<string, Record<string, object>>;
    readonly device_keys?: Record<string, object>;
  };
}

const answerOf = async (call: PromiseLike<Answer>): Promise<Answer> => {
  const { status, body } = await call;
  return { status, body };
};

async function sessions(count: number, extra: object = {}): Promise<ClientSession[]> {
  const all: ClientSession[] = [];
  for (let nth = 0; nth < count; nth += 1) all.push(await app().matrix.register(extra));
  return all;
}

/** Answers of those who came while two others waited for a lock, and how many transactions that took. */
async function inCompany(
  lock: string,
  [first, second]: readonly [ClientSession, ClientSession],
  call: (session: ClientSession) => PromiseLike<Answer>,
  calls: readonly (() => PromiseLike<Answer>)[],
): Promise<{ answers: Answer[]; commits: number }> {
  const bystander = await Bystander.begin(app());
  await bystander.run(lock, [[first.userId, second.userId]]);
  const waiting = [answerOf(call(first))];
  await lockWaiters(app(), 1);
  waiting.push(answerOf(call(second)));
  await lockWaiters(app(), 2);
  const answering = Promise.all(calls.map((one) => answerOf(one())));
  await new Promise((resolve) => setTimeout(resolve, 200));
  query.mockClear();
  await bystander.commit();
  const answers = await answering;
  expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200]);
  return { answers, commits: commits() };
}

describe('Refreshes that come at the same time', () => {
  const refresh = ({ refreshToken }: ClientSession) => app().matrix.refresh(refreshToken!);

  it('share a transaction, and each gets its own pair', async () => {
    const [one, other, ...all] = await sessions(14, { refresh_token: true });
    const { answers, commits: count } = await inCompany(
      LOCK_DEVICES,
      [one!, other!],
      refresh,
      all.map((session) => () => refresh(session)),
    );
    expect(answers.map(({ status }) => status)).toEqual(all.map(() => 200));
    expect(count).toBeLessThan(6);
    for (const [at, { body }] of answers.entries()) {
      const who = await app().matrix.whoami({ ...all[at]!, accessToken: body.access_token! });
      expect(who.body['user_id']).toBe(all[at]!.userId);
    }
  });

  it('answer one token twice, and refuse who is to be refused, without harm to the others', async () => {
    const [one, other, twice, spent, locked, ...others] = await sessions(9, { refresh_token: true });
    const admin = await app().matrix.register({ username: 'admin' });
    const { body: next } = await refresh(spent!).expect(200);
    await app().matrix.refresh(next.refresh_token).expect(200);
    await app()
      .http.put(`/_matrix/client/v1/admin/lock/${locked!.userId}`)
      .auth(admin.accessToken, { type: 'bearer' })
      .send({ locked: true })
      .expect(200);
    const asked = [twice!, twice!, spent!, locked!, ...others];
    const { answers } = await inCompany(
      LOCK_DEVICES,
      [one!, other!],
      refresh,
      asked.map((session) => () => refresh(session)),
    );
    expect(answers.map(({ status, body }) => [status, body.errcode])).toEqual([
      [200, undefined],
      [200, undefined],
      [401, 'M_UNKNOWN_TOKEN'],
      [401, 'M_USER_LOCKED'],
      ...others.map(() => [200, undefined]),
    ]);
    expect(answers[2]!.body.soft_logout).toBe(true);
    // Of the two answers to one token the later counts, and only one of them is later.
    const alive = [];
    for (const { body } of answers.slice(0, 2))
      alive.push((await app().matrix.whoami({ ...twice!, accessToken: body.access_token! })).status);
    expect(alive.toSorted()).toEqual([200, 401]);
    // A replay ends the session, and the device stays.
    const left = await app().sql('SELECT ended_reason FROM refresh_tokens WHERE user_id = $1', [
      spent!.userId,
    ]);
    expect(left).toEqual([{ ended_reason: 'refresh_replay' }]);
  });

  it('do not wait for a neighbour whose device somebody holds', async () => {
    const [one, other, held, ...others] = await sessions(7, { refresh_token: true });
    const bystander = await Bystander.begin(app());
    await bystander.run(LOCK_DEVICES, [[held!.userId]]);
    const late: Promise<Answer>[] = [];
    const { answers } = await inCompany(
      LOCK_DEVICES,
      [one!, other!],
      refresh,
      others.map((session, at) => () => {
        if (at === 0) late.push(answerOf(refresh(held!)));
        return refresh(session);
      }),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    await bystander.commit();
    expect((await late[0]!).status).toBe(200);
  });
});

describe('Logins that come at the same time', () => {
  const login = ({ userId }: ClientSession, agent = '') =>
    app()
      .http.post(`${V3}/login`)
      .set('User-Agent', agent)
      .send({
        type: 'm.login.password',
        identifier: { type: 'm.id.user', user: userId },
        password: PASSWORD,
      });

  it('share a transaction; who is refused in it harms nobody, and each is written down with where it came from', async () => {
    const [one, other, refused, ...others] = await sessions(9);
    // Deactivated in the moment between the proof of the password and the transaction.
    const sql = 'UPDATE accounts SET deactivated_at = now() WHERE user_id = $1';
    const bystander = await Bystander.begin(app());
    await bystander.run(LOCK_ACCOUNTS, [[one!.userId, other!.userId]]);
    const waiting = [answerOf(login(one!))];
    await lockWaiters(app(), 1);
    waiting.push(answerOf(login(other!)));
    await lockWaiters(app(), 2);
    const answering = [refused!, ...others].map((session) => answerOf(login(session, session.userId)));
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await app().sql(sql, [refused!.userId]);
    query.mockClear();
    await bystander.commit();
    const [denied, ...answers] = await Promise.all(answering);
    expect(denied).toMatchObject({ status: 403, body: { errcode: 'M_USER_DEACTIVATED' } });
    expect(answers.map(({ status }) => status)).toEqual(others.map(() => 200));
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200]);
    for (const { userId } of others) {
      const [entry] = await app().sql<{ user_agent: string }>(
        `SELECT user_agent FROM audit_entries WHERE user_id = $1 AND action = 'session_started' ORDER BY at DESC LIMIT 1`,
        [userId],
      );
      expect(entry!.user_agent).toBe(userId);
    }
  });
});

describe('Claims that come at the same time', () => {
  const claim = (by: ClientSession, { userId, deviceId }: ClientSession) =>
    app()
      .matrix.call(by, 'post', '/keys/claim')
      .send({ one_time_keys: { [userId]: { [deviceId]: 'signed_curve25519' } } });

  it('get each a key of its own, the oldest first, and the fallback key when there is none left', async () => {
    const [one, other, wanted, ...askers] = await sessions(15);
    for (const session of [one!, other!, wanted!])
      await app().matrix.uploadKeys(session, someKeys(session, 10)).expect(200);
    const { answers } = await inCompany(
      LOCK_DEVICES,
      [one!, other!],
      (session) => claim(wanted!, session),
      askers.map((session) => () => claim(session, wanted!)),
    );
    const names = answers.map(({ status, body }) => {
      expect(status).toBe(200);
      return Object.keys(body.one_time_keys![wanted!.userId]![wanted!.deviceId]!)[0]!;
    });
    const oneTime = Array.from({ length: 10 }, (_, at) => `signed_curve25519:AAAA${at}`);
    expect(names.filter((name) => name !== 'signed_curve25519:FALL').toSorted()).toEqual(oneTime);
    expect(names.filter((name) => name === 'signed_curve25519:FALL')).toHaveLength(2);
  });

  it('take the oldest keys of a device that has more', async () => {
    const [one, other, wanted, ...askers] = await sessions(8);
    for (const session of [one!, other!, wanted!])
      await app().matrix.uploadKeys(session, someKeys(session, 10)).expect(200);
    const { answers } = await inCompany(
      LOCK_DEVICES,
      [one!, other!],
      (session) => claim(wanted!, session),
      askers.map((session) => () => claim(session, wanted!)),
    );
    const names = answers.map(
      ({ body }) => Object.keys(body.one_time_keys![wanted!.userId]![wanted!.deviceId]!)[0]!,
    );
    expect(names.toSorted()).toEqual(Array.from({ length: 5 }, (_, at) => `signed_curve25519:AAAA${at}`));
  });
});

describe('Key queries that come at the same time', () => {
  it('answer each what it asked, with what it may see', async () => {
    const all = await sessions(12);
    for (const session of all) await app().matrix.uploadKeys(session, someKeys(session)).expect(200);
    const answers = await Promise.all(
      all.map((session, at) =>
        answerOf(
          app()
            .matrix.call(session, 'post', '/keys/query')
            .send({
              device_keys: { [all[(at + 1) % 12]!.userId]: [], [all[(at + 2) % 12]!.userId]: ['no such'] },
            }),
        ),
      ),
    );
    expect(answers.map(({ body }) => body.device_keys)).toEqual(
      all.map((_, at) => {
        const [{ userId, deviceId }, { userId: without }] = [all[(at + 1) % 12]!, all[(at + 2) % 12]!];
        return { [userId]: { [deviceId]: expect.objectContaining({ user_id: userId }) }, [without]: {} };
      }),
    );
  });
});
