import { Injectable, Module, type OnModuleInit } from '@nestjs/common';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { LoginFlow, LoginFlows, type LoginContext } from '../../src/index.js';
import { ClaimsService } from '../../src/keys/claims.service.js';
import { LoginService } from '../../src/session/login/login.service.js';
import { RefreshService } from '../../src/session/refresh/refresh.service.js';
import { type ClientSession, someKeys } from '../../src/testing/matrix-client.js';
import { Bystander, lockWaiters } from '../support/interleaving.js';
import { useApp } from '../support/test-app.js';

/** Accepts every user without a password, so that logins arrive in one turn of the event loop, without hashing. */
@Injectable()
class CredulousLogin extends LoginFlow implements OnModuleInit {
  readonly type = 'org.example.credulous';

  constructor(private readonly flows: LoginFlows) {
    super();
  }

  onModuleInit(): void {
    this.flows.add(this);
  }

  async prove({ user }: Readonly<Record<string, unknown>>): Promise<string> {
    return String(user);
  }
}

@Module({ providers: [CredulousLogin] })
class CredulousModule {}

const app = useApp({ extensions: [CredulousModule] });
const service = <Service>(type: new (...args: never[]) => Service) =>
  app().nest.get<Service>(type, { strict: false });
const query = vi.spyOn(pg.Client.prototype, 'query');
const commits = () => query.mock.calls.filter(([text]) => (text as unknown) === 'COMMIT').length;
const LOCK_DEVICES = 'SELECT FROM devices WHERE user_id = ANY ($1) FOR UPDATE';
const ORIGIN = { address: '192.0.2.1', userAgent: null };

afterEach(() => query.mockClear());

async function sessions(count: number, extra: object = {}): Promise<ClientSession[]> {
  const all: ClientSession[] = [];
  for (let nth = 0; nth < count; nth += 1) all.push(await app().matrix.register(extra));
  return all;
}

/** Makes calls in one turn of the event loop; returns their outcomes and the number of commits. */
async function atOnce<Result>(calls: readonly (() => Promise<Result>)[]) {
  query.mockClear();
  const outcomes = await Promise.allSettled(calls.map((call) => call()));
  return { outcomes, commits: commits() };
}

/** Returns the values of outcomes, and fails if one was rejected. */
function valuesOf<Result>(outcomes: readonly PromiseSettledResult<Result>[]): Result[] {
  return outcomes.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  });
}

describe('Concurrent refreshes', () => {
  const rotate =
    ({ refreshToken }: ClientSession) =>
    () =>
      service(RefreshService).rotate(refreshToken!, ORIGIN);
  const statusOf = async (session: ClientSession, accessToken: string) =>
    (await app().matrix.whoami({ ...session, accessToken })).status;

  it('share a transaction, and each gets its own pair', async () => {
    const all = await sessions(12, { refresh_token: true });
    const { outcomes, commits: count } = await atOnce(all.map(rotate));
    expect(count).toBe(1);
    for (const [at, { access }] of valuesOf(outcomes).entries()) {
      const who = await app().matrix.whoami({ ...all[at]!, accessToken: access.token });
      expect(who.body['user_id']).toBe(all[at]!.userId);
    }
  });

  it('answer one token twice, and refuse invalid ones without affecting the others', async () => {
    const [twice, spent, locked, ...others] = await sessions(7, { refresh_token: true });
    const { body: next } = await app().matrix.refresh(spent!.refreshToken!).expect(200);
    await app().matrix.refresh(next.refresh_token).expect(200);
    // Late enough to count as theft.
    app().clock.advance(61_000);
    await app().sql('UPDATE accounts SET locked_at = now() WHERE user_id = $1', [locked!.userId]);
    const { outcomes } = await atOnce([twice!, twice!, spent!, locked!, ...others].map(rotate));
    const [one, other, replayed, refused, ...rest] = outcomes;
    expect(valuesOf(rest)).toHaveLength(4);
    expect(replayed).toMatchObject({ reason: { errcode: 'M_UNKNOWN_TOKEN', extra: { soft_logout: true } } });
    expect(refused).toMatchObject({ reason: { errcode: 'M_USER_LOCKED' } });
    // Of the two answers to one token, the later one is valid.
    const [first, second] = valuesOf([one!, other!]);
    expect(await statusOf(twice!, first!.access.token)).toBe(401);
    expect(await statusOf(twice!, second!.access.token)).toBe(200);
    const left = await app().sql('SELECT ended_reason FROM refresh_tokens WHERE user_id = $1', [
      spent!.userId,
    ]);
    expect(left).toEqual([{ ended_reason: 'refresh_replay' }]);
  });

  it('do not wait for locked devices, even if there are more of them than shared calls', async () => {
    const held = await sessions(3, { refresh_token: true });
    const others = await sessions(3, { refresh_token: true });
    const bystander = await Bystander.begin(app());
    await bystander.run(LOCK_DEVICES, [held.map(({ userId }) => userId)]);
    const late = held.map((session) => rotate(session)());
    await lockWaiters(app(), 3);
    for (const session of others) await app().matrix.refresh(session.refreshToken!).expect(200);
    await bystander.commit();
    expect(await Promise.all(late)).toHaveLength(3);
  });
});

describe('Concurrent logouts', () => {
  it('do not wait for locked devices, even if there are more of them than shared calls', async () => {
    const [held, others] = [await sessions(3), await sessions(3)];
    const bystander = await Bystander.begin(app());
    await bystander.run(LOCK_DEVICES, [held.map(({ userId }) => userId)]);
    const late = held.map(async (session) => (await app().matrix.logout(session)).status);
    await lockWaiters(app(), 3);
    for (const session of others) await app().matrix.logout(session).expect(200);
    await bystander.commit();
    expect(await Promise.all(late)).toEqual([200, 200, 200]);
  });
});

describe('Concurrent logins', () => {
  const login = ({ userId }: ClientSession) => {
    const request = { type: 'org.example.credulous', user: userId };
    const context: LoginContext = { ...ORIGIN, userAgent: userId, token: null };
    return () => service(LoginService).login(request, context);
  };

  it('share a transaction, and each is recorded with its own origin', async () => {
    const all = await sessions(8);
    const { outcomes, commits: count } = await atOnce(all.map(login));
    expect(count).toBe(1);
    for (const { userId, deviceId, pair } of valuesOf(outcomes)) {
      const session = { userId, deviceId, accessToken: pair.access.token };
      expect(await app().matrix.whoami(session)).toMatchObject({ status: 200 });
      const entries = await app().sql(
        `SELECT user_agent FROM audit_entries WHERE user_id = $1 AND device_id = $2`,
        [userId, deviceId],
      );
      expect(entries).toEqual([{ user_agent: userId }]);
    }
  });

  it('are not affected by one that is refused in the transaction', async () => {
    const [refused, ...others] = await sessions(5);
    await app().sql('UPDATE accounts SET deactivated_at = now() WHERE user_id = $1', [refused!.userId]);
    const { outcomes } = await atOnce([refused!, ...others].map(login));
    expect(outcomes[0]).toMatchObject({ reason: { errcode: 'M_USER_DEACTIVATED' } });
    expect(valuesOf(outcomes.slice(1))).toHaveLength(4);
    const started = await app().sql(
      `SELECT FROM audit_entries WHERE action = 'session_started' AND user_id = ANY ($1)`,
      [others.map(({ userId }) => userId)],
    );
    // One by each registration, and one by each login.
    expect(started).toHaveLength(8);
  });
});

describe('Concurrent claims', () => {
  const claims = async (count: number, { userId, deviceId }: ClientSession) => {
    const one_time_keys = { [userId]: { [deviceId]: 'signed_curve25519' } };
    const { outcomes } = await atOnce(
      Array.from({ length: count }, () => () => service(ClaimsService).claim({ one_time_keys })),
    );
    return valuesOf(outcomes).map((claimed) => Object.keys(claimed.one_time_keys[userId]![deviceId]!)[0]!);
  };
  const oneTime = (count: number) => Array.from({ length: count }, (_, at) => `signed_curve25519:AAAA${at}`);

  it('each get a different key, the oldest first', async () => {
    const session = await app().matrix.register();
    await app().matrix.uploadKeys(session, someKeys(session, 10)).expect(200);
    expect((await claims(5, session)).toSorted()).toEqual(oneTime(5));
    expect(await claims(1, session)).toEqual(['signed_curve25519:AAAA5']);
  });

  it('get the fallback key when no one-time key is left', async () => {
    const session = await app().matrix.register();
    await app().matrix.uploadKeys(session, someKeys(session, 10)).expect(200);
    const fallback = Array.from({ length: 2 }, () => 'signed_curve25519:FALL');
    expect((await claims(12, session)).toSorted()).toEqual([...oneTime(10), ...fallback]);
  });
});

describe('Concurrent key queries', () => {
  it('each get their own answer', async () => {
    const all = await sessions(12);
    for (const session of all) await app().matrix.uploadKeys(session, someKeys(session)).expect(200);
    const next = (at: number) => all[at % all.length]!;
    const answers = await Promise.all(
      all.map(async (session, at) => {
        const device_keys = { [next(at + 1).userId]: [], [next(at + 2).userId]: ['no such'] };
        const { body } = await app()
          .matrix.call(session, 'post', '/keys/query')
          .send({ device_keys })
          .expect(200);
        return body.device_keys;
      }),
    );
    expect(answers).toEqual(
      all.map((_, at) => {
        const { userId, deviceId } = next(at + 1);
        return {
          [userId]: { [deviceId]: expect.objectContaining({ user_id: userId }) },
          [next(at + 2).userId]: {},
        };
      }),
    );
  });
});

describe('On a PostgreSQL that is distributed by user', () => {
  const distributed = useApp({
    extensions: [CredulousModule],
    variables: { DATABASE_SHARED_BY: 'user', DATABASE_SETTINGS: 'plan_cache_mode=auto' },
  });

  it('requests of different users share no transaction, and those of one user do', async () => {
    const own = distributed();
    const login = (user: string) =>
      own.nest
        .get(LoginService, { strict: false })
        .login({ type: 'org.example.credulous', user }, { ...ORIGIN, token: null });
    const users = ['@one:localhost', '@one:localhost', '@two:localhost', '@three:localhost'];
    const { outcomes, commits: made } = await atOnce(users.map((user) => () => login(user)));
    expect(valuesOf(outcomes).map(({ userId }) => userId)).toEqual(users);
    expect(made).toBe(3);
  });

  it('connections have the settings of the operator', async () => {
    const setting = (name: string) => distributed().nest.get(DataSource).query(`SHOW ${name}`);
    expect(await setting('plan_cache_mode')).toEqual([{ plan_cache_mode: 'auto' }]);
    expect(await setting('enable_seqscan')).toEqual([{ enable_seqscan: 'off' }]);
  });
});
