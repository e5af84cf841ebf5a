import { describe, expect, it, vi } from 'vitest';
import { DevicesDeleted } from '../../src/index.js';
import { OutboxWorker } from '../../src/outbox/outbox.worker.js';
import { type Heard, userOf } from '../support/recorder.js';
import { useOutbox } from '../support/outbox.js';

const { recorder, app, drain, states, newSession } = useOutbox();

describe('A subscriber after the commit', () => {
  it('receives a logout at once, with the part of the event about the user', async () => {
    const session = await newSession();
    await app().matrix.logout(session).expect(200);
    await vi.waitFor(() => expect(recorder.heard).toHaveLength(1));
    const [{ event, delivery }] = recorder.heard as [Heard];
    expect(event).toBeInstanceOf(DevicesDeleted);
    expect(event).toMatchObject({
      devices: [{ userId: session.userId, deviceId: session.deviceId, createdTs: expect.any(Number) }],
      reason: 'logout',
    });
    expect(delivery).toMatchObject({ attempt: 1, eventId: expect.stringMatching(/^evt_[\w-]{24}$/) });
  });

  it('receives one part for each user of a shared commit', async () => {
    const sessions = await Promise.all([1, 2, 3, 4].map(() => app().matrix.register()));
    await drain();
    recorder.heard = [];
    await Promise.all(sessions.map((session) => app().matrix.logout(session).expect(200)));
    await drain();
    const users = recorder.heard.map(({ event }) =>
      (event as DevicesDeleted).devices.map(({ userId }) => userId),
    );
    expect(users.toSorted()).toEqual(sessions.map(({ userId }) => [userId]).toSorted());
  });

  it('receives the end of the old session before the start of the new one', async () => {
    const session = await newSession();
    await app().matrix.login(session.userId, { device_id: session.deviceId });
    await drain();
    expect(recorder.names()).toEqual(['SessionsEnded', 'SessionStarted']);
  });

  it('receives nothing that was rolled back', async () => {
    const session = await newSession();
    recorder.refuses = true;
    await app().matrix.logout(session).expect(500);
    recorder.refuses = false;
    await drain();
    expect(recorder.heard).toEqual([]);
    await app().matrix.logout(session).expect(200);
    await drain();
    expect(recorder.names()).toEqual(['DevicesDeleted']);
  });

  it('is retried with pauses, in the order of events, and an event keeps its ID', async () => {
    const session = await newSession();
    recorder.behave = async ({ delivery: { attempt } }) => {
      if (attempt < 3) throw new Error('not now');
    };
    await app().matrix.logoutAll(session).expect(200);
    await drain();
    await app().matrix.login(session.userId);
    await drain();
    expect(recorder.names()).toEqual(['DevicesDeleted']);
    app().clock.advance(10_000);
    await drain();
    app().clock.advance(10_000);
    recorder.behave = async () => {};
    await drain();
    app().clock.advance(10_000);
    await drain();
    expect(recorder.names()).toEqual([
      'DevicesDeleted',
      'DevicesDeleted',
      'DevicesDeleted',
      'SessionStarted',
    ]);
    expect(new Set(recorder.heard.map(({ delivery }) => delivery.eventId)).size).toBe(2);
  });

  it('is aborted after its timeout', async () => {
    const session = await newSession();
    recorder.behave = () => new Promise(() => {});
    await app().matrix.logout(session).expect(200);
    await drain();
    expect((await states(session)).at(-1)).toMatchObject({
      event: 'devices.deleted',
      state: 'pending',
      attempts: 1,
    });
    expect(recorder.heard[0]!.delivery.signal.aborted).toBe(true);
    recorder.behave = async () => {};
    app().clock.advance(10_000);
    await drain();
    expect((await states(session)).at(-1)).toMatchObject({ state: 'delivered', attempts: 2 });
  });

  it('that hangs on an event of one user receives those of another at once', async () => {
    const [slow, quick] = [await newSession(), await newSession()];
    recorder.behave = (one) => (userOf(one) === slow.userId ? new Promise(() => {}) : Promise.resolve());
    await app().matrix.logout(slow).expect(200);
    await vi.waitFor(() => expect(recorder.of(slow)).toHaveLength(1));
    await app().matrix.logout(quick).expect(200);
    await vi.waitFor(() => expect(recorder.of(quick)).toHaveLength(1), { interval: 5 });
    expect(recorder.of(slow)[0]!.delivery.signal.aborted).toBe(false);
    recorder.behave = async () => {};
    await drain();
  });

  it('is not called for two events of a user at once, even if the earlier one was committed later', async () => {
    const session = await newSession();
    let release = () => {};
    recorder.behave = () => new Promise((resolve) => (release = () => resolve()));
    await app().matrix.logoutAll(session).expect(200);
    await vi.waitFor(() => expect(recorder.heard).toHaveLength(1));
    // As from a transaction on another device that got its position first and committed last.
    await app().sql(
      `INSERT INTO event_deliveries
         (user_id, subscriber, position, ordinal, event_id, event, payload, occurred_at, state, attempts, next_attempt_at)
       SELECT user_id, subscriber, position - 1, 1, 'evt_earlier', event, payload, occurred_at, 'pending', 0, occurred_at
       FROM event_deliveries WHERE user_id = $1 AND event = 'devices.deleted'`,
      [session.userId],
    );
    app().nest.get(OutboxWorker).kick();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(recorder.heard).toHaveLength(1);
    recorder.behave = async () => {};
    release();
    await drain();
    expect(recorder.heard.map(({ delivery }) => delivery.eventId)).toEqual([
      expect.any(String),
      'evt_earlier',
    ]);
  });

  it('receives events of a user in order even if the database clock goes back', async () => {
    const session = await newSession();
    await app().sql(`UPDATE event_deliveries SET position = position + 3600000000 WHERE user_id = $1`, [
      session.userId,
    ]);
    recorder.behave = () => Promise.reject(new Error('not yet'));
    const again = await app().matrix.login(session.userId);
    await app().matrix.logout(again).expect(200);
    await drain();
    recorder.behave = async () => {};
    recorder.heard = [];
    app().clock.advance(10_000);
    await drain();
    expect(recorder.of(session).map(({ event }) => event.constructor.name)).toEqual([
      'SessionStarted',
      'DevicesDeleted',
    ]);
  });
});
