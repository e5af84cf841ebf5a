import { describe, expect, it, vi } from 'vitest';
import { DevicesDeleted } from '../../src/index.js';
import { OutboxStore } from '../../src/outbox/outbox.store.js';
import { useOutbox } from '../support/outbox.js';

const { recorder, app, drain, states, newSession } = useOutbox();

describe('A delivery', () => {
  it('is buried if its node died during every attempt', async () => {
    const session = await newSession();
    recorder.behave = () => Promise.reject(new Error('no'));
    await app().matrix.logout(session).expect(200);
    await drain();
    await app().sql(
      `UPDATE event_deliveries SET lease = 'dead', attempts = 3 WHERE user_id = $1 AND state = 'pending'`,
      [session.userId],
    );
    recorder.heard = [];
    app().clock.advance(60_000);
    await drain();
    expect(recorder.of(session)).toEqual([]);
    expect((await states(session)).at(-1)).toMatchObject({ state: 'buried' });
  });

  it('is taken over from a dead worker when the lease expires', async () => {
    const session = await newSession();
    recorder.behave = () => Promise.reject(new Error('no'));
    await app().matrix.logout(session).expect(200);
    await drain();
    // As after a node was killed during a delivery.
    const until = new Date(app().clock.now().getTime() + 60_000);
    await app().sql(
      `UPDATE event_deliveries SET lease = 'dead', next_attempt_at = $2 WHERE user_id = $1 AND state = 'pending'`,
      [session.userId, until],
    );
    recorder.behave = async () => {};
    recorder.heard = [];
    app().clock.advance(30_000);
    await drain();
    expect(recorder.of(session)).toEqual([]);
    app().clock.advance(31_000);
    await drain();
    expect(recorder.of(session)).toMatchObject([{ event: expect.any(DevicesDeleted) }]);
  });

  it('is leased again if the rest of the lease is too short for it', async () => {
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
    expect(recorder.of(session)).toMatchObject([{ delivery: { attempt: 1 } }]);
    expect((await states(session)).at(-1)).toMatchObject({ state: 'delivered', attempts: 1 });
  });
});
