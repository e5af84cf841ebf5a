import { Injectable, Module, Scope } from '@nestjs/common';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import {
  AfterCommit,
  type Delivery,
  DevicesDeleted,
  InTransaction,
  SessionsEnded,
  SessionStarted,
} from '../../src/index.js';
import { OutboxStore } from '../../src/outbox/outbox.store.js';
import { OutboxWorker } from '../../src/outbox/outbox.worker.js';
import { createDatabase } from '../support/database.js';
import type { ClientSession } from '../../src/testing/matrix-client.js';
import { TestApp, useApp } from '../support/test-app.js';

type Heard = { readonly event: DevicesDeleted | SessionsEnded | SessionStarted; readonly delivery: Delivery };

let heard: Heard[] = [];
let behave: (heard: Heard) => Promise<void>;
/** Whether the transaction fails after the event was published. */
let refuses = false;

/** A subscriber as another team would write it. */
@Injectable()
class TeamSubscriber {
  @AfterCommit(DevicesDeleted, 'team')
  @AfterCommit(SessionsEnded, 'team')
  @AfterCommit(SessionStarted, 'team')
  async onAny(event: DevicesDeleted | SessionsEnded | SessionStarted, delivery: Delivery): Promise<void> {
    heard.push({ event, delivery });
    await behave({ event, delivery });
  }

  @InTransaction(DevicesDeleted)
  async onDevicesDeleted(): Promise<void> {
    if (refuses) throw new Error('no');
  }
}

@Module({ providers: [TeamSubscriber] })
class TeamModule {}

const ADMIN = '@admin:localhost';
const app = useApp({
  extensions: [TeamModule],
  // Nothing but the commit starts a delivery here.
  variables: {
    EVENT_POLL_INTERVAL: '1h',
    EVENT_DELIVERY_TIMEOUT: '200ms',
    EVENT_MAX_ATTEMPTS: '3',
    SERVER_ADMINS: ADMIN,
  },
});
const drain = () => app().drain();
const names = () => heard.map(({ event }) => event.constructor.name);
const userOf = ({ event }: Heard) =>
  event instanceof SessionStarted
    ? event.userId
    : (event instanceof DevicesDeleted ? event.devices : event.sessions)[0]!.userId;
/** What was heard of one user: the handlers of other tests' users may still be retried. */
const heardOf = ({ userId }: { userId: string }) => heard.filter((one) => userOf(one) === userId);
const states = ({ userId }: ClientSession) =>
  app().sql(
    `SELECT event, state, attempts FROM event_deliveries WHERE user_id = $1 ORDER BY position, ordinal`,
    [userId],
  );

async function newSession(): Promise<ClientSession> {
  const session = await app().matrix.register();
  await drain();
  heard = [];
  return session;
}

beforeEach(() => {
  behave = async () => {};
  heard = [];
});

describe('A subscriber after the commit', () => {
  it('hears of a logout at once, with what the event says of the user', async () => {
    const session = await newSession();
    await app().matrix.logout(session).expect(200);
    await vi.waitFor(() => expect(heard).toHaveLength(1));
    const [{ event, delivery }] = heard as [Heard];
    expect(event).toBeInstanceOf(DevicesDeleted);
    expect(event).toMatchObject({
      devices: [{ userId: session.userId, deviceId: session.deviceId, createdTs: expect.any(Number) }],
      reason: 'logout',
    });
    expect(delivery).toMatchObject({ attempt: 1, eventId: expect.stringMatching(/^evt_[\w-]{24}$/) });
  });

  it('gets of a shared commit one part for each user', async () => {
    const sessions = await Promise.all([1, 2, 3, 4].map(() => app().matrix.register()));
    await drain();
    heard = [];
    await Promise.all(sessions.map((session) => app().matrix.logout(session).expect(200)));
    await drain();
    const users = heard.map(({ event }) => (event as DevicesDeleted).devices.map(({ userId }) => userId));
    expect(users.toSorted()).toEqual(sessions.map(({ userId }) => [userId]).toSorted());
  });

  it('hears that the old session ended before the new one began', async () => {
    const session = await newSession();
    await app().matrix.login(session.userId, { device_id: session.deviceId });
    await drain();
    expect(names()).toEqual(['SessionsEnded', 'SessionStarted']);
  });

  it('hears nothing of what was rolled back', async () => {
    const session = await newSession();
    refuses = true;
    await app().matrix.logout(session).expect(500);
    refuses = false;
    await drain();
    expect(heard).toEqual([]);
    await app().matrix.logout(session).expect(200);
    await drain();
    expect(names()).toEqual(['DevicesDeleted']);
  });

  it('is tried again with pauses, in the order of events, and the same event keeps its ID', async () => {
    const session = await newSession();
    behave = async ({ delivery: { attempt } }) => {
      if (attempt < 3) throw new Error('not now');
    };
    await app().matrix.logoutAll(session).expect(200);
    await drain();
    await app().matrix.login(session.userId);
    await drain();
    expect(names()).toEqual(['DevicesDeleted']);
    app().clock.advance(10_000);
    await drain();
    app().clock.advance(10_000);
    behave = async () => {};
    await drain();
    app().clock.advance(10_000);
    await drain();
    expect(names()).toEqual(['DevicesDeleted', 'DevicesDeleted', 'DevicesDeleted', 'SessionStarted']);
    expect(new Set(heard.map(({ delivery }) => delivery.eventId)).size).toBe(2);
  });

  it('is waited for no longer than its time-out', async () => {
    const session = await newSession();
    behave = () => new Promise(() => {});
    await app().matrix.logout(session).expect(200);
    await drain();
    expect((await states(session)).at(-1)).toMatchObject({
      event: 'devices.deleted',
      state: 'pending',
      attempts: 1,
    });
    expect(heard[0]!.delivery.signal.aborted).toBe(true);
    behave = async () => {};
    app().clock.advance(10_000);
    await drain();
    expect((await states(session)).at(-1)).toMatchObject({ state: 'delivered', attempts: 2 });
  });

  it('that hangs with one user hears of another at once', async () => {
    const [slow, quick] = [await newSession(), await newSession()];
    behave = (one) => (userOf(one) === slow.userId ? new Promise(() => {}) : Promise.resolve());
    await app().matrix.logout(slow).expect(200);
    await vi.waitFor(() => expect(heardOf(slow)).toHaveLength(1));
    await app().matrix.logout(quick).expect(200);
    await vi.waitFor(() => expect(heardOf(quick)).toHaveLength(1), { interval: 5 });
    expect(heardOf(slow)[0]!.delivery.signal.aborted).toBe(false);
    behave = async () => {};
    await drain();
  });

  it('is not called for two events of a user at once, even where the earlier came to light later', async () => {
    const session = await newSession();
    let release = () => {};
    behave = () => new Promise((resolve) => (release = () => resolve()));
    await app().matrix.logoutAll(session).expect(200);
    await vi.waitFor(() => expect(heard).toHaveLength(1));
    // As of a transaction on another device that took its position first and committed last.
    await app().sql(
      `INSERT INTO event_deliveries
         (user_id, subscriber, position, ordinal, event_id, event, payload, occurred_at, state, attempts, next_attempt_at)
       SELECT user_id, subscriber, position - 1, 1, 'evt_earlier', event, payload, occurred_at, 'pending', 0, occurred_at
       FROM event_deliveries WHERE user_id = $1 AND event = 'devices.deleted'`,
      [session.userId],
    );
    app().nest.get(OutboxWorker).kick();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(heard).toHaveLength(1);
    behave = async () => {};
    release();
    await drain();
    expect(heard.map(({ delivery }) => delivery.eventId)).toEqual([expect.any(String), 'evt_earlier']);
  });

  it('keeps the order of a user where the clock of the database went back', async () => {
    const session = await newSession();
    await app().sql(`UPDATE event_deliveries SET position = position + 3600000000 WHERE user_id = $1`, [
      session.userId,
    ]);
    behave = () => Promise.reject(new Error('not yet'));
    const again = await app().matrix.login(session.userId);
    await app().matrix.logout(again).expect(200);
    await drain();
    behave = async () => {};
    heard = [];
    app().clock.advance(10_000);
    await drain();
    expect(heardOf(session).map(({ event }) => event.constructor.name)).toEqual([
      'SessionStarted',
      'DevicesDeleted',
    ]);
  });

  it('that never takes an event has it buried, where an administrator sees and replays it', async () => {
    const session = await newSession();
    behave = () => Promise.reject(new Error('never'));
    await app().matrix.logout(session).expect(200);
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await drain();
      app().clock.advance(10_000);
    }
    const admin = await app().createUser('admin');
    behave = async () => {};
    await drain();
    const path = '/_session/v1/admin/deliveries';
    const asAdmin = (method: 'get' | 'post', rest = '') =>
      app().http[method](`${path}${rest}`).auth(admin.accessToken, { type: 'bearer' });
    const { deliveries } = (await asAdmin('get').expect(200)).body;
    expect(deliveries).toMatchObject([
      {
        type: 'devices.deleted',
        subscriber: 'team',
        user_id: session.userId,
        attempts: 3,
        last_error: 'Error: never',
        data: { user_id: session.userId, reason: 'logout' },
      },
    ]);
    await app()
      .http.get(path)
      .auth((await app().matrix.register()).accessToken, { type: 'bearer' })
      .expect(403);
    await asAdmin('get', '?state=lost').expect(400);
    heard = [];
    await asAdmin('post', `/team/${deliveries[0].event_id}/replay`).expect(200);
    await drain();
    expect(heard.filter(({ event }) => event instanceof DevicesDeleted)).toHaveLength(1);
    await asAdmin('post', `/team/${deliveries[0].event_id}/replay`).expect(404);
  });

  it('has all that is buried tried again when an administrator says so', async () => {
    const sessions = [await newSession(), await newSession()];
    await app().sql(
      `UPDATE event_deliveries SET state = 'buried', settled_at = now() WHERE user_id = ANY ($1)`,
      [sessions.map(({ userId }) => userId)],
    );
    const admin = await app().matrix.login(ADMIN);
    const replay = (session: ClientSession, subscriber: string) =>
      app()
        .http.post(`/_session/v1/admin/deliveries/${subscriber}/replay`)
        .auth(session.accessToken, { type: 'bearer' });
    await replay(sessions[0]!, 'team').expect(403);
    expect((await replay(admin, 'nobody').expect(200)).body).toEqual({ replayed: 0 });
    heard = [];
    expect((await replay(admin, 'team').expect(200)).body).toEqual({ replayed: 2 });
    await drain();
    for (const session of sessions) expect(heardOf(session)).toHaveLength(1);
  });

  it('whose node died in every attempt has the event buried, too', async () => {
    const session = await newSession();
    behave = () => Promise.reject(new Error('no'));
    await app().matrix.logout(session).expect(200);
    await drain();
    await app().sql(
      `UPDATE event_deliveries SET lease = 'dead', attempts = 3 WHERE user_id = $1 AND state = 'pending'`,
      [session.userId],
    );
    heard = [];
    app().clock.advance(60_000);
    await drain();
    expect(heardOf(session)).toEqual([]);
    expect((await states(session)).at(-1)).toMatchObject({ state: 'buried' });
  });

  it('takes over what a dead worker had leased, when the lease is over', async () => {
    const session = await newSession();
    behave = () => Promise.reject(new Error('no'));
    await app().matrix.logout(session).expect(200);
    await drain();
    // As a node leaves it that was killed in mid-delivery.
    const until = new Date(app().clock.now().getTime() + 60_000);
    await app().sql(
      `UPDATE event_deliveries SET lease = 'dead', next_attempt_at = $2 WHERE user_id = $1 AND state = 'pending'`,
      [session.userId, until],
    );
    behave = async () => {};
    heard = [];
    app().clock.advance(30_000);
    await drain();
    expect(heardOf(session)).toEqual([]);
    app().clock.advance(31_000);
    await drain();
    expect(heardOf(session)).toMatchObject([{ event: expect.any(DevicesDeleted) }]);
  });

  it('is not handed what it would have no time for any more, because the lease was long in coming', async () => {
    const session = await newSession();
    const store = app().nest.get(OutboxStore);
    const lease = vi.spyOn(store, 'lease').mockImplementationOnce(async (...asked) => {
      const leased = await OutboxStore.prototype.lease.apply(store, asked);
      app().clock.advance(10_000);
      return leased;
    });
    await app().matrix.logout(session).expect(200);
    await drain();
    expect(lease.mock.calls.length).toBeGreaterThan(1);
    lease.mockRestore();
    expect(heardOf(session)).toMatchObject([{ delivery: { attempt: 1 } }]);
    expect((await states(session)).at(-1)).toMatchObject({ state: 'delivered', attempts: 1 });
  });

  it('has what was buried forgotten after its retention time', async () => {
    const session = await newSession();
    await app().sql(`UPDATE event_deliveries SET state = 'buried', settled_at = $2 WHERE user_id = $1`, [
      session.userId,
      app().clock.now(),
    ]);
    const { length } = await states(session);
    app().clock.advance(89 * 24 * 60 * 60 * 1_000);
    await app().nest.get(OutboxWorker).keepHouse();
    expect(await states(session)).toHaveLength(length);
    app().clock.advance(2 * 24 * 60 * 60 * 1_000);
    await app().nest.get(OutboxWorker).keepHouse();
    expect(await states(session)).toEqual([]);
  });

  it('that no node has had for the retention time is forgotten, and what it was owed buried, for nobody to replay', async () => {
    const admin = await app().matrix.login(ADMIN);
    const session = await newSession();
    await app().sql(
      `INSERT INTO event_subscriptions (subscriber, event, seen_at) VALUES ('gone', 'devices.deleted', $1)`,
      [app().clock.now()],
    );
    await app().nest.get(OutboxWorker).poll();
    await app().matrix.logout(session).expect(200);
    const owed = () =>
      app().sql<{ event_id: string; state: string }>(
        `SELECT event_id, state FROM event_deliveries WHERE subscriber = 'gone'`,
      );
    await app().nest.get(OutboxWorker).keepHouse();
    expect(await owed()).toMatchObject([{ state: 'pending' }]);
    app().clock.advance(8 * 24 * 60 * 60 * 1_000);
    await app().nest.get(OutboxWorker).keepHouse();
    const [buried] = await owed();
    expect(buried).toMatchObject({ state: 'buried' });
    const replay = (path: string) =>
      app()
        .http.post(`/_session/v1/admin/deliveries/gone${path}/replay`)
        .auth(admin.accessToken, { type: 'bearer' });
    await replay(`/${buried!.event_id}`).expect(404);
    expect((await replay('').expect(200)).body).toEqual({ replayed: 0 });
    const discard = (by: ClientSession) =>
      app().http.post('/_session/v1/admin/deliveries/gone/discard').auth(by.accessToken, { type: 'bearer' });
    await discard(await app().matrix.register()).expect(403);
    expect((await discard(admin).expect(200)).body).toEqual({ discarded: 1 });
    expect(await owed()).toEqual([]);
  });

  it('has its deliveries listed: of those that wait the longest due first, of others the latest', async () => {
    const admin = await app().matrix.login(ADMIN);
    await drain();
    const day = 24 * 60 * 60 * 1_000;
    const later = (days: number) => new Date(app().clock.now().getTime() + days * day);
    await app().sql(
      `INSERT INTO event_subscriptions (subscriber, event, seen_at) VALUES ('z', 'devices.deleted', $1)`,
      [later(0)],
    );
    const insert = (subscriber: string, eventId: string, due: number, settled: number | null) =>
      app().sql(
        `INSERT INTO event_deliveries
           (user_id, subscriber, position, ordinal, event_id, event, payload, occurred_at, state, attempts, next_attempt_at,
            settled_at)
         VALUES ($3, $1, 1, 1, $2, 'devices.deleted', '{}', now(), $4, 1, $5, $6)`,
        [
          subscriber,
          eventId,
          `@${eventId}:localhost`,
          settled === null ? 'pending' : 'delivered',
          later(due),
          settled === null ? null : later(settled),
        ],
      );
    await insert('team', 'evt_3', 3, null);
    await insert('z', 'evt_2', 2, null);
    await insert('team', 'evt_4', 4, null);
    await insert('team', 'evt_d1', 0, 1);
    await insert('z', 'evt_d2', 0, 2);
    const ask = (query: string) =>
      app().http.get(`/_session/v1/admin/deliveries?${query}`).auth(admin.accessToken, { type: 'bearer' });
    const listed = async (query: string) => {
      const { body } = await ask(query).expect(200);
      return body.deliveries.map(({ event_id }: { event_id: string }) => event_id);
    };
    expect(await listed('state=pending')).toEqual(['evt_2', 'evt_3', 'evt_4']);
    expect(await listed('state=pending&subscriber=team')).toEqual(['evt_3', 'evt_4']);
    expect(await listed('event_id=evt_4')).toEqual(['evt_4']);
    const pages: string[][] = [];
    for (const state of ['pending', 'delivered']) {
      let from: string | undefined;
      for (let page = 0; page < 3; page += 1) {
        const { body } = await ask(
          `state=${state}&limit=1${from === undefined ? '' : `&from=${from}`}`,
        ).expect(200);
        pages.push(body.deliveries.map(({ event_id }: { event_id: string }) => event_id));
        from = body.next_batch;
      }
    }
    expect(pages.slice(0, 5)).toEqual([['evt_2'], ['evt_3'], ['evt_4'], ['evt_d2'], ['evt_d1']]);
    for (const wrong of ['limit=0', 'from=x', 'subscriber=a&subscriber=b']) await ask(wrong).expect(400);
    expect((await listed('state=delivered')).slice(0, 2)).toEqual(['evt_d2', 'evt_d1']);
    expect((await listed('state=delivered&subscriber=team'))[0]).toBe('evt_d1');
    await app().sql(`DELETE FROM event_deliveries WHERE event_id = ANY ($1)`, [
      ['evt_2', 'evt_3', 'evt_4', 'evt_d1', 'evt_d2'],
    ]);
    await app().sql(`DELETE FROM event_subscriptions WHERE subscriber = 'z'`);
  });

  it('has what was delivered forgotten after the retention time, and what was not kept', async () => {
    const session = await newSession();
    await app().matrix.logout(session).expect(200);
    await drain();
    expect(await states(session)).not.toEqual([]);
    app().clock.advance(8 * 24 * 60 * 60 * 1_000);
    await app().sql(`
      INSERT INTO event_deliveries
        (user_id, subscriber, position, ordinal, event_id, event, payload, occurred_at, state, attempts, next_attempt_at,
         settled_at)
      SELECT '@many:localhost', 'team', n, 1, 'evt_' || n, 'devices.deleted', '{}', now(), 'delivered', 1, now(), now()
      FROM generate_series(1, 12000) AS n`);
    await app().nest.get(OutboxWorker).keepHouse();
    expect(await states(session)).toEqual([]);
    expect(await states({ ...session, userId: '@many:localhost' })).toEqual([]);
  });
});

@Injectable()
class NarrowSubscriber {
  @AfterCommit(SessionStarted, 'team')
  async onSessionStarted(event: SessionStarted, delivery: Delivery): Promise<void> {
    heard.push({ event, delivery });
  }
}

@Module({ providers: [NarrowSubscriber] })
class NarrowModule {}

describe('Nodes of two versions', () => {
  it('do not lose what only the other hears of, until there is no such node any more', async () => {
    const database = await createDatabase();
    const variables = { EVENT_POLL_INTERVAL: '1h' };
    const wide = await TestApp.start({ extensions: [TeamModule], variables, database });
    const narrow = await TestApp.start({ extensions: [NarrowModule], variables, database });
    narrow.clock.advance(2 * 60_000);
    await narrow.nest.get(OutboxWorker).keepHouse();
    await wide.stop();
    const session = await narrow.matrix.register();
    await narrow.matrix.logout(session).expect(200);
    await narrow.drain();
    const left = () =>
      narrow.sql('SELECT event, state, attempts FROM event_deliveries ORDER BY position, ordinal');
    expect(await left()).toEqual([
      { event: 'session.started', state: 'delivered', attempts: 1 },
      { event: 'devices.deleted', state: 'pending', attempts: 0 },
    ]);
    narrow.clock.advance(10 * 60_000);
    await narrow.nest.get(OutboxWorker).keepHouse();
    expect((await left()).at(-1)).toEqual({ event: 'devices.deleted', state: 'buried', attempts: 0 });
    await narrow.stop();
    await database.drop();
  });
});

describe('A node that stops', () => {
  it('gives back what it was delivering, as if it had not tried', async () => {
    const database = await createDatabase();
    const variables = { EVENT_POLL_INTERVAL: '1h', EVENT_MAX_ATTEMPTS: '1' };
    const node = await TestApp.start({ extensions: [TeamModule], variables, database });
    behave = () => new Promise(() => {});
    const session = await node.matrix.register();
    await vi.waitFor(() => expect(heardOf(session)).toHaveLength(1));
    await node.stop();
    behave = async () => {};
    const next = await TestApp.start({ extensions: [TeamModule], variables, database });
    await vi.waitFor(() => expect(heardOf(session)).toHaveLength(2));
    expect(heardOf(session)[1]!.delivery.attempt).toBe(1);
    await next.stop();
    await database.drop();
  });
});

describe('A subscriber', () => {
  const start = (module: object) => TestApp.start({ extensions: [module as typeof TeamModule] });

  it('may stand under a second token', async () => {
    @Module({ providers: [NarrowSubscriber, { provide: 'alias', useExisting: NarrowSubscriber }] })
    class AliasModule {}
    const node = await start(AliasModule);
    heard = [];
    const session = await node.matrix.register();
    await node.drain();
    expect(heardOf(session)).toHaveLength(1);
    await node.stop();
  });

  it.each(['', 'a b', 'ü'])('is refused at start under the name "%s"', async (name) => {
    @Injectable()
    class MisnamedSubscriber {
      @AfterCommit(SessionStarted, name)
      async onSessionStarted(): Promise<void> {}
    }
    @Module({ providers: [MisnamedSubscriber] })
    class MisnamedModule {}
    await expect(start(MisnamedModule)).rejects.toThrow(/The name of a subscriber/);
  });

  it('that lives as long as a request is refused at start', async () => {
    @Module({ providers: [{ provide: NarrowSubscriber, useClass: NarrowSubscriber, scope: Scope.REQUEST }] })
    class RequestModule {}
    await expect(start(RequestModule)).rejects.toThrow(/NarrowSubscriber: @AfterCommit/);
  });
});

describe('A node', () => {
  it('finds what others left undelivered within its poll interval', async () => {
    const node = await TestApp.start({
      extensions: [TeamModule],
      variables: { EVENT_POLL_INTERVAL: '50ms' },
    });
    const session = await node.matrix.register();
    await node.drain();
    // As another node leaves it that dies with its commit.
    await node.sql(
      `INSERT INTO event_deliveries
         (user_id, subscriber, position, ordinal, event_id, event, payload, occurred_at, state, attempts, next_attempt_at)
       SELECT user_id, subscriber, position + 1, 1, 'evt_left', event, payload, occurred_at, 'pending', 0, occurred_at
       FROM event_deliveries WHERE user_id = $1`,
      [session.userId],
    );
    await vi.waitFor(() => expect(heardOf(session).at(-1)!.delivery.eventId).toBe('evt_left'), 5_000);
    await node.stop();
  });

  it('pauses twice as long after each failure, up to an hour, and never quite as long as before', async () => {
    const node = await TestApp.start({
      extensions: [TeamModule],
      variables: { EVENT_POLL_INTERVAL: '1h', EVENT_MAX_ATTEMPTS: '20' },
    });
    behave = () => Promise.reject(new Error('no'));
    await node.matrix.register();
    const shares: number[] = [];
    for (let attempt = 1; attempt <= 15; attempt += 1) {
      await node.drain();
      const [delivery] = await node.sql<{ attempts: number; next_attempt_at: Date }>(
        'SELECT attempts, next_attempt_at FROM event_deliveries',
      );
      expect(delivery!.attempts).toBe(attempt);
      const pauseMs = delivery!.next_attempt_at.getTime() - node.clock.now().getTime();
      const fullMs = Math.min(60 * 60 * 1_000, 1_000 * 2 ** (attempt - 1));
      // It was a moment ago that it failed.
      expect(pauseMs).toBeGreaterThan(0.5 * fullMs - 400);
      expect(pauseMs).toBeLessThanOrEqual(fullMs);
      shares.push(pauseMs / fullMs);
      node.clock.advance(pauseMs + 1);
    }
    const late = shares.slice(8);
    expect(Math.max(...late) - Math.min(...late)).toBeGreaterThan(0.01);
    await node.stop();
  });
});

describe('Two nodes', () => {
  it('deliver each event once between them, in the order of each user, and never two of one at once', async () => {
    const database = await createDatabase();
    const variables = { EVENT_POLL_INTERVAL: '50ms' };
    const nodes = await Promise.all(
      [1, 2].map(() => TestApp.start({ extensions: [TeamModule], variables, database })),
    );
    const [one, other] = nodes as [TestApp, TestApp];
    const { userId } = await one.matrix.register();
    let underWay = 0;
    let most = 0;
    behave = async (what) => {
      if (userOf(what) !== userId) return;
      most = Math.max(most, ++underWay);
      await new Promise((resolve) => setTimeout(resolve, 5));
      underWay -= 1;
    };
    for (let round = 0; round < 10; round += 1) {
      const session = await (round % 2 === 0 ? one : other).matrix.login(userId, { device_id: 'PHONE' });
      await (round % 2 === 0 ? other : one).matrix.logout(session).expect(200);
    }
    await vi.waitFor(() => expect(heardOf({ userId })).toHaveLength(21), { timeout: 10_000 });
    const own = heardOf({ userId });
    expect(own.slice(1).map(({ event }) => event.constructor.name)).toEqual(
      Array.from({ length: 20 }, (_, at) => (at % 2 === 0 ? 'SessionStarted' : 'DevicesDeleted')),
    );
    expect(new Set(own.map(({ delivery }) => delivery.eventId)).size).toBe(21);
    expect(most).toBe(1);
    await Promise.all(nodes.map((node) => node.stop()));
    await database.drop();
  });

  it('owe a new subscriber nothing of what was before', async () => {
    const database = await createDatabase();
    const before = await TestApp.start({ database });
    const session = await before.matrix.register();
    await before.stop();
    heard = [];
    const node = await TestApp.start({ extensions: [TeamModule], database });
    await node.matrix.logout(session).expect(200);
    await node.drain();
    expect(heardOf(session)).toMatchObject([{ event: expect.any(DevicesDeleted) }]);
    await node.stop();
    await database.drop();
  });

  it('keep an event for a subscriber whose node is down', async () => {
    const database = await createDatabase();
    const first = await TestApp.start({ extensions: [TeamModule], database });
    const session = await first.matrix.register();
    await first.drain();
    await first.stop();
    heard = [];
    const without = await TestApp.start({ database });
    await without.matrix.logout(session).expect(200);
    await without.stop();
    expect(heard).toEqual([]);
    const again = await TestApp.start({ extensions: [TeamModule], database });
    await vi.waitFor(() => expect(names()).toEqual(['DevicesDeleted']));
    await again.stop();
    await database.drop();
  });
});
