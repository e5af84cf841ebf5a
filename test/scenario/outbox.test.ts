import { Injectable, Module } from '@nestjs/common';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import {
  AfterCommit,
  type Delivery,
  DevicesDeleted,
  OutboxWorker,
  SessionsEnded,
  SessionStarted,
} from '../../src/index.js';
import { createDatabase } from '../support/database.js';
import type { ClientSession } from '../../src/testing/matrix-client.js';
import { TestApp, useApp } from '../support/test-app.js';

type Heard = { readonly event: DevicesDeleted | SessionsEnded | SessionStarted; readonly delivery: Delivery };

let heard: Heard[] = [];
let behave: (heard: Heard) => Promise<void>;

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
const drain = () => app().nest.get(OutboxWorker).drain();
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
    await app()
      .matrix.logout({ ...session, accessToken: `${session.accessToken}x` })
      .expect(401);
    await drain();
    expect(heard).toEqual([]);
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

  it('that never takes an event has it buried, where an administrator sees and replays it', async () => {
    const session = await newSession();
    behave = () => Promise.reject(new Error('never'));
    await app().matrix.logout(session).expect(200);
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await drain();
      app().clock.advance(10_000);
    }
    const admin = await app().matrix.register({ username: 'admin' });
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

  it('has what was delivered forgotten after the retention time, and what was not kept', async () => {
    const session = await newSession();
    await app().matrix.logout(session).expect(200);
    await drain();
    expect(await states(session)).not.toEqual([]);
    app().clock.advance(8 * 24 * 60 * 60 * 1_000);
    await app().nest.get(OutboxWorker).poll();
    expect(await states(session)).toEqual([]);
  });
});

describe('Two nodes', () => {
  it('deliver each event once between them, in the order of each user, and finish what a dead one left', async () => {
    const database = await createDatabase();
    const variables = { EVENT_POLL_INTERVAL: '50ms' };
    const nodes = await Promise.all(
      [1, 2].map(() => TestApp.start({ extensions: [TeamModule], variables, database })),
    );
    const [one, other] = nodes as [TestApp, TestApp];
    const { userId } = await one.matrix.register();
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
    await first.nest.get(OutboxWorker).drain();
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
