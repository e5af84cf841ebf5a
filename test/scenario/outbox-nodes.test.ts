import { Injectable, Module } from '@nestjs/common';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { AfterCommit, type Delivery, DevicesDeleted, SessionStarted } from '../../src/index.js';
import { OutboxWorker } from '../../src/outbox/outbox.worker.js';
import { createDatabase } from '../support/database.js';
import { Recorder, userOf } from '../support/recorder.js';
import { TestApp } from '../support/test-app.js';

const recorder = new Recorder();

@Injectable()
class NarrowSubscriber {
  @AfterCommit(SessionStarted, 'team')
  async onSessionStarted(event: SessionStarted, delivery: Delivery): Promise<void> {
    recorder.heard.push({ event, delivery });
  }
}

@Module({ providers: [NarrowSubscriber] })
class NarrowModule {}

beforeEach(() => recorder.reset());

describe('Nodes with different versions', () => {
  it('keep events to which only the other node subscribes, until no such node has run for a while', async () => {
    const database = await createDatabase();
    const variables = { EVENT_POLL_INTERVAL: '1h' };
    const wide = await TestApp.start({ extensions: [recorder.module], variables, database });
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
  it('releases its deliveries without counting an attempt', async () => {
    const database = await createDatabase();
    const variables = { EVENT_POLL_INTERVAL: '1h', EVENT_MAX_ATTEMPTS: '1' };
    const node = await TestApp.start({ extensions: [recorder.module], variables, database });
    recorder.behave = () => new Promise(() => {});
    const session = await node.matrix.register();
    await vi.waitFor(() => expect(recorder.of(session)).toHaveLength(1));
    await node.stop();
    recorder.behave = async () => {};
    const next = await TestApp.start({ extensions: [recorder.module], variables, database });
    await vi.waitFor(() => expect(recorder.of(session)).toHaveLength(2));
    expect(recorder.of(session)[1]!.delivery.attempt).toBe(1);
    await next.stop();
    await database.drop();
  });
});

describe('A node', () => {
  it('finds undelivered events of other nodes within its poll interval', async () => {
    const node = await TestApp.start({
      extensions: [recorder.module],
      variables: { EVENT_POLL_INTERVAL: '50ms' },
    });
    const session = await node.matrix.register();
    await node.drain();
    // As after another node died right after its commit.
    await node.sql(
      `INSERT INTO event_deliveries
         (user_id, subscriber, position, ordinal, event_id, event, payload, occurred_at, state, attempts, next_attempt_at)
       SELECT user_id, subscriber, position + 1, 1, 'evt_left', event, payload, occurred_at, 'pending', 0, occurred_at
       FROM event_deliveries WHERE user_id = $1`,
      [session.userId],
    );
    await vi.waitFor(() => expect(recorder.of(session).at(-1)!.delivery.eventId).toBe('evt_left'), 5_000);
    await node.stop();
  });

  it('doubles the pause after each failure, up to an hour, with some randomness', async () => {
    const node = await TestApp.start({
      extensions: [recorder.module],
      variables: { EVENT_POLL_INTERVAL: '1h', EVENT_MAX_ATTEMPTS: '20' },
    });
    recorder.behave = () => Promise.reject(new Error('no'));
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
      // The failure was a moment ago.
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
  it('deliver each event once, in order for each user, and never two of one user at once', async () => {
    const database = await createDatabase();
    const variables = { EVENT_POLL_INTERVAL: '50ms' };
    const nodes = await Promise.all(
      [1, 2].map(() => TestApp.start({ extensions: [recorder.module], variables, database })),
    );
    const [one, other] = nodes as [TestApp, TestApp];
    const { userId } = await one.matrix.register();
    let underWay = 0;
    let most = 0;
    recorder.behave = async (what) => {
      if (userOf(what) !== userId) return;
      most = Math.max(most, ++underWay);
      await new Promise((resolve) => setTimeout(resolve, 5));
      underWay -= 1;
    };
    for (let round = 0; round < 10; round += 1) {
      const session = await (round % 2 === 0 ? one : other).matrix.login(userId, { device_id: 'PHONE' });
      await (round % 2 === 0 ? other : one).matrix.logout(session).expect(200);
    }
    await vi.waitFor(() => expect(recorder.of({ userId })).toHaveLength(21), { timeout: 10_000 });
    const own = recorder.of({ userId });
    expect(own.slice(1).map(({ event }) => event.constructor.name)).toEqual(
      Array.from({ length: 20 }, (_, at) => (at % 2 === 0 ? 'SessionStarted' : 'DevicesDeleted')),
    );
    expect(new Set(own.map(({ delivery }) => delivery.eventId)).size).toBe(21);
    expect(most).toBe(1);
    await Promise.all(nodes.map((node) => node.stop()));
    await database.drop();
  });

  it('deliver no earlier events to a new subscriber', async () => {
    const database = await createDatabase();
    const before = await TestApp.start({ database });
    const session = await before.matrix.register();
    await before.stop();
    recorder.heard = [];
    const node = await TestApp.start({ extensions: [recorder.module], database });
    await node.matrix.logout(session).expect(200);
    await node.drain();
    expect(recorder.of(session)).toMatchObject([{ event: expect.any(DevicesDeleted) }]);
    await node.stop();
    await database.drop();
  });

  it('keep an event for a subscriber whose node is down', async () => {
    const database = await createDatabase();
    const first = await TestApp.start({ extensions: [recorder.module], database });
    const session = await first.matrix.register();
    await first.drain();
    await first.stop();
    recorder.heard = [];
    const without = await TestApp.start({ database });
    await without.matrix.logout(session).expect(200);
    await without.stop();
    expect(recorder.heard).toEqual([]);
    const again = await TestApp.start({ extensions: [recorder.module], database });
    await vi.waitFor(() => expect(recorder.names()).toEqual(['DevicesDeleted']));
    await again.stop();
    await database.drop();
  });
});
