import { Injectable, Module } from '@nestjs/common';
import { EventEmitter2 } from '@nestjs/event-emitter';
import pg from 'pg';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import {
  DevicesDeleted,
  InTransaction,
  MatrixError,
  PasswordChanged,
  SessionsEnded,
  SessionStarted,
  type Tx,
} from '../../src/index.js';
import { Bystander, lockWaiters } from '../support/interleaving.js';
import { type ClientSession, PASSWORD, passwordOf, someKeys } from '../../src/testing/matrix-client.js';
import { census, NOTHING, useApp } from '../support/test-app.js';

type Behaviour = (event: DevicesDeleted, tx: Tx) => Promise<void>;

let behave: Behaviour;

/** A listener as another team would write it. It misbehaves on demand. */
@Injectable()
class TeamListener {
  @InTransaction(DevicesDeleted)
  async onDevicesDeleted(event: DevicesDeleted, tx: Tx): Promise<void> {
    await behave(event, tx);
  }
}

/** One method for two events. */
@Injectable()
class TwofoldListener {
  readonly seen: string[] = [];

  @InTransaction(SessionsEnded)
  @InTransaction(DevicesDeleted)
  async onEither(event: DevicesDeleted | SessionsEnded): Promise<void> {
    this.seen.push(event.constructor.name);
    if (failTwofold) throw new Error('no');
  }
}

let failTwofold = false;

/** Deletes devices that the event does not name, on demand. */
@Injectable()
class GreedyListener {
  @InTransaction(SessionStarted)
  @InTransaction(PasswordChanged)
  async onOther(_: SessionStarted | PasswordChanged, tx: Tx): Promise<void> {
    if (isGreedy) await tx.query({ name: 'test_greedy', text: 'DELETE FROM devices' });
  }
}

let isGreedy = false;

@Module({ providers: [TeamListener, TwofoldListener, GreedyListener] })
class TeamModule {}

const app = useApp({ extensions: [TeamModule], variables: { EVENT_LISTENER_TIMEOUT: '900ms' } });
const hangs = () => new Promise<never>(() => {});
const BROKEN = { name: 'test_broken', text: 'SELECT * FROM a_table_that_does_not_exist' };

beforeEach(() => {
  behave = async () => {};
});

async function sessionWithKeys(): Promise<ClientSession> {
  const session = await app().matrix.register({ refresh_token: true });
  await app().matrix.uploadKeys(session, someKeys(session)).expect(200);
  return session;
}

describe.each(['logout', 'logoutAll'] as const)('%s with a listener that fails', (endpoint) => {
  const failures: [string, Behaviour][] = [
    ['throws', async () => Promise.reject(new Error('no'))],
    [
      'throws before its first await',
      () => {
        throw new Error('no');
      },
    ],
    ['throws an answer of its own', async () => Promise.reject(MatrixError.notFound('no'))],
    ['breaks a statement', async (_, tx) => void (await tx.query(BROKEN))],
    ['breaks a statement and hides it', async (_, tx) => void (await tx.query(BROKEN).catch(() => []))],
    ['breaks a statement and does not wait for it', async (_, tx) => void tx.query(BROKEN).catch(() => [])],
    [
      'breaks a query of the entity manager, hides it and does not wait for it',
      async (_, tx) => void tx.manager.query(BROKEN.text).catch(() => []),
    ],
    ['breaks a query of the entity manager', async (_, tx) => void (await tx.manager.query(BROKEN.text))],
    ['hangs past its time-out', hangs],
    [
      'hangs in a statement',
      async (_, tx) => void (await tx.query({ name: 'test_sleep', text: 'SELECT pg_sleep(60)' })),
    ],
    // oxlint-disable-next-line prefer-promise-reject-errors -- Plain JavaScript can do this.
    ['rejects with nothing', async () => Promise.reject()],
    ['rolls the transaction back', async (_, tx) => void (await tx.manager.query('ROLLBACK'))],
    [
      'empties the devices',
      async (_, tx) => void (await tx.query({ name: 'test_truncate', text: 'TRUNCATE devices CASCADE' })),
    ],
    ['changes the event', async (event) => void Object.assign(event, { devices: [] })],
    ['changes the devices of the event', async ({ devices }) => void (devices as unknown[]).pop()],
    [
      'deletes more devices than the event names',
      async (_, tx) => void (await tx.query({ name: 'test_all', text: 'DELETE FROM devices' })),
    ],
    [
      'deletes accounts, without waiting for it',
      async (_, tx) => void tx.query({ name: 'test_accounts', text: 'DELETE FROM accounts' }),
    ],
  ];

  it.each(failures)('%s: nothing changes, and the client can try again', async (_, failure) => {
    const [session, neighbour] = [await sessionWithKeys(), await sessionWithKeys()];
    const before = await census(app(), session.userId);
    behave = failure;
    const answer = await app().matrix[endpoint](session).expect(500);
    expect(answer.body).toEqual({
      errcode: 'M_UNKNOWN',
      error: 'Internal server error',
      errorId: expect.any(String),
    });
    expect(await census(app(), session.userId)).toEqual(before);
    expect(await app().matrix.whoami(session)).toMatchObject({ status: 200 });
    expect(await app().matrix.whoami(neighbour)).toMatchObject({ status: 200 });
    behave = async () => {};
    await app().matrix[endpoint](session).expect(200, {});
    expect(await census(app(), session.userId)).toEqual(NOTHING);
  });
});

describe('A listener', () => {
  it('gets the devices with their creation times, a reason and a time, as a value that survives JSON', async () => {
    const seen: DevicesDeleted[] = [];
    behave = async (event) => void seen.push(event);
    const phone = await app().matrix.register({ device_id: 'PHONE' });
    await app().matrix.login(phone.userId, { device_id: 'LAPTOP' });
    await app().matrix.logoutAll(phone).expect(200);
    const device = (deviceId: string) => ({ userId: phone.userId, deviceId, createdTs: expect.any(Number) });
    expect(JSON.parse(JSON.stringify(seen))).toEqual([
      { devices: [device('LAPTOP'), device('PHONE')], reason: 'logout_all', deletedTs: expect.any(Number) },
    ]);
  });

  it('may delete the devices of the event itself', async () => {
    const session = await sessionWithKeys();
    const text = 'DELETE FROM devices WHERE user_id = $1';
    behave = async (_, tx) => void (await tx.query({ name: 'test_own', text }, [session.userId]));
    await app().matrix.logout(session).expect(200);
    expect(await census(app(), session.userId)).toEqual(NOTHING);
  });

  it('of any event cannot delete devices that the event does not name', async () => {
    const [session, neighbour] = [await sessionWithKeys(), await sessionWithKeys()];
    const { length } = await app().sql('SELECT FROM devices');
    isGreedy = true;
    await app()
      .http.post('/_matrix/client/v3/login')
      .send({
        type: 'm.login.password',
        identifier: { type: 'm.id.user', user: session.userId },
        password: PASSWORD,
      })
      .expect(500);
    await app()
      .matrix.call(session, 'post', '/account/password')
      .send({ new_password: 'another long phrase', auth: passwordOf(session) })
      .expect(500);
    isGreedy = false;
    expect(await app().sql('SELECT FROM devices')).toHaveLength(length);
    expect(await app().matrix.whoami(neighbour)).toMatchObject({ status: 200 });
    await app().matrix.login(session.userId);
  });

  it('that hangs does not block other requests for longer than its timeout', async () => {
    const [guilty, innocent] = [await sessionWithKeys(), await sessionWithKeys()];
    behave = ({ devices }) =>
      devices.some(({ userId }) => userId === guilty.userId) ? hangs() : Promise.resolve();
    const answers = await Promise.all([app().matrix.logout(guilty), app().matrix.logout(innocent)]);
    expect(answers.map(({ status }) => status)).toEqual([500, 200]);
  });

  it('runs again after a deadlock in the transaction', async () => {
    const session = await sessionWithKeys();
    let runs = 0;
    behave = async (_, tx) => {
      runs += 1;
      const text = `DO $$ BEGIN RAISE EXCEPTION 'as if' USING ERRCODE = 'deadlock_detected'; END $$`;
      if (runs < 3) await tx.query({ name: '', text });
    };
    await app().matrix.logout(session).expect(200);
    expect(runs).toBe(3);
    expect(await census(app(), session.userId)).toEqual(NOTHING);
  });

  it('runs again after a deadlock in its entity manager', async () => {
    const session = await sessionWithKeys();
    let runs = 0;
    behave = async (_, tx) => {
      runs += 1;
      const text = `DO $$ BEGIN RAISE EXCEPTION 'as if' USING ERRCODE = 'deadlock_detected'; END $$`;
      if (runs < 3) await tx.manager.query(text);
    };
    await app().matrix.logout(session).expect(200);
    expect(runs).toBe(3);
  });

  it('that continues after the rollback of a logout cannot change anything', async () => {
    const session = await sessionWithKeys();
    let late: Promise<unknown> = Promise.resolve();
    behave = async (_, tx) => {
      const work = async () => {
        await new Promise((resolve) => setTimeout(resolve, 50));
        await tx.query({ name: 'test_late', text: 'DELETE FROM accounts WHERE user_id = $1' }, [
          session.userId,
        ]);
      };
      late = work().catch(String);
      throw new Error('no');
    };
    await app().matrix.logout(session).expect(500);
    expect(await late).toContain('The transaction is over');
  });

  it('that fails because the session has ended already does not cause a 500', async () => {
    const session = await sessionWithKeys();
    const bystander = await Bystander.begin(app());
    const own = [session.userId, session.deviceId];
    await bystander.run('DELETE FROM access_tokens WHERE user_id = $1 AND device_id = $2', own);
    await bystander.run('DELETE FROM devices WHERE user_id = $1 AND device_id = $2', own);
    behave = () => Promise.reject(new Error('my rows are gone'));
    const logout = app()
      .matrix.logout(session)
      .then((answer) => answer);
    await lockWaiters(app(), 1);
    await bystander.commit();
    expect(await logout).toMatchObject({ status: 401, body: { errcode: 'M_UNKNOWN_TOKEN' } });
  });

  it('can listen to several events with one method', async () => {
    const { seen } = app().nest.get(TwofoldListener);
    seen.splice(0);
    const session = await app().matrix.register({ device_id: 'D' });
    const again = await app().matrix.login(session.userId, { device_id: 'D' });
    failTwofold = true;
    await app().matrix.logout(again).expect(500);
    failTwofold = false;
    await app().matrix.logout(again).expect(200);
    expect(seen).toEqual(['SessionsEnded', 'DevicesDeleted', 'DevicesDeleted']);
  });

  it('that is no longer registered on the bus makes the logout fail instead of half succeed', async () => {
    const session = await sessionWithKeys();
    const emitter = app().nest.get(EventEmitter2);
    const lost = emitter.listeners(DevicesDeleted.eventName)[0]!;
    emitter.off(DevicesDeleted.eventName, lost);
    await app().matrix.logout(session).expect(500);
    expect(await app().matrix.whoami(session)).toMatchObject({ status: 200 });
    emitter.prependListener(DevicesDeleted.eventName, lost);
    await app().matrix.logout(session).expect(200);
  });
});

describe('Concurrent logouts', () => {
  const sessions = async (count: number) => {
    const all: ClientSession[] = [];
    for (let n = 0; n < count; n += 1) all.push(await app().matrix.register());
    return all;
  };

  it('share transactions', async () => {
    const all = await sessions(40);
    // The first ones are slow, so that the others arrive in the meantime.
    const slow = new Promise<void>((resolve) => setTimeout(resolve, 250));
    behave = () => slow;
    const query = vi.spyOn(pg.Client.prototype, 'query');
    const answers = await Promise.all(all.map((session) => app().matrix.logout(session)));
    const commits = query.mock.calls.filter(([text]) => (text as unknown) === 'COMMIT').length;
    query.mockRestore();
    expect(answers.map(({ status }) => status)).toEqual(all.map(() => 200));
    for (const { userId } of all) expect(await census(app(), userId)).toEqual(NOTHING);
    expect(commits).toBeGreaterThan(0);
    expect(commits).toBeLessThan(20);
  });

  it('are not affected by another logout whose listener fails', async () => {
    const all = await sessions(12);
    const guilty = all[5]!;
    behave = async ({ devices }) => {
      if (devices.some(({ userId }) => userId === guilty.userId)) throw new Error('no');
    };
    const answers = await Promise.all(all.map((session) => app().matrix.logout(session)));
    expect(answers.map(({ status }) => status)).toEqual(
      all.map((session) => (session === guilty ? 500 : 200)),
    );
    expect(await app().matrix.whoami(guilty)).toMatchObject({ status: 200 });
    for (const session of all.filter((one) => one !== guilty))
      expect(await census(app(), session.userId)).toEqual(NOTHING);
  });

  it('do not wait for another logout whose device is locked', async () => {
    const [first, second, ...all] = await sessions(14);
    let running = 0;
    const held = all[3]!;
    const bystander = await Bystander.begin(app());
    await bystander.run('SELECT FROM devices WHERE user_id = $1 FOR UPDATE', [held.userId]);
    const statusOf = async (session: ClientSession) => (await app().matrix.logout(session)).status;
    // Slow logouts occupy both shared calls, so that the others are put into one batch.
    const slow = new Promise<void>((resolve) => setTimeout(resolve, 250));
    behave = () => {
      running += 1;
      return slow;
    };
    const early: Promise<number>[] = [];
    for (const session of [first!, second!]) {
      early.push(statusOf(session));
      await vi.waitFor(() => expect(running).toBe(early.length), 5_000);
    }
    const late = statusOf(held);
    const others = all.filter((session) => session !== held);
    const answers = await Promise.all(others.map((session) => app().matrix.logout(session)));
    expect(answers.map(({ status }) => status)).toEqual(others.map(() => 200));
    await bystander.commit();
    expect(await late).toBe(200);
    expect(await census(app(), held.userId)).toEqual(NOTHING);
    expect(await Promise.all(early)).toEqual([200, 200]);
  });

  it('are not affected by one whose client has disconnected', async () => {
    const all = await sessions(6);
    const aborted = app().matrix.logout(all[0]!);
    aborted.end(() => {});
    setTimeout(() => aborted.abort(), 1);
    const answers = await Promise.all(all.slice(1).map((session) => app().matrix.logout(session)));
    expect(answers.map(({ status }) => status)).toEqual(all.slice(1).map(() => 200));
  });
});
