import { describe, expect, it } from 'vitest';
import { OutboxWorker } from '../../src/outbox/outbox.worker.js';
import type { ClientSession } from '../../src/testing/matrix-client.js';
import { useOutbox } from '../support/outbox.js';

const { app, drain, states, newSession } = useOutbox({ SERVER_ADMINS: '@admin:localhost' });

describe('The outbox', () => {
  it('keeps buried deliveries for their retention time', async () => {
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

  it('buries the deliveries of a subscriber that no node has had for the retention time, and does not replay them', async () => {
    const admin = await app().createUser('admin');
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

  it('keeps delivered events for their retention time', async () => {
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
