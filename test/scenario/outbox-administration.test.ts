import { beforeAll, describe, expect, it } from 'vitest';
import { DevicesDeleted } from '../../src/index.js';
import type { ClientSession } from '../../src/testing/matrix-client.js';
import { useOutbox } from '../support/outbox.js';

const ADMIN = '@admin:localhost';
const { recorder, app, drain, newSession } = useOutbox({ SERVER_ADMINS: ADMIN });

beforeAll(() => app().createUser('admin'));

describe('A delivery in the administration', () => {
  it('is buried after the last attempt, is listed, and is replayed', async () => {
    const session = await newSession();
    recorder.behave = () => Promise.reject(new Error('never'));
    await app().matrix.logout(session).expect(200);
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await drain();
      app().clock.advance(10_000);
    }
    const admin = await app().matrix.login(ADMIN);
    recorder.behave = async () => {};
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
    recorder.heard = [];
    await asAdmin('post', `/team/${deliveries[0].event_id}/replay`).expect(200);
    await drain();
    expect(recorder.heard.filter(({ event }) => event instanceof DevicesDeleted)).toHaveLength(1);
    await asAdmin('post', `/team/${deliveries[0].event_id}/replay`).expect(404);
  });

  it('is replayed together with all buried deliveries of its subscriber', async () => {
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
    recorder.heard = [];
    expect((await replay(admin, 'team').expect(200)).body).toEqual({ replayed: 2 });
    await drain();
    for (const session of sessions) expect(recorder.of(session)).toHaveLength(1);
  });

  it('is listed: waiting ones with the longest due first, others with the latest first', async () => {
    const admin = await app().matrix.login(ADMIN);
    // Deliveries of other tests that will be retried.
    app().clock.advance(60_000);
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
});
