import { Injectable, Module } from '@nestjs/common';
import { describe, expect, it, vi } from 'vitest';
import { DevicesDeleted, InTransaction, SessionsEnded, SessionStarted } from '../../src/index.js';
import { someKeys } from '../../src/testing/matrix-client.js';
import { Bystander } from '../support/interleaving.js';
import { useApp } from '../support/test-app.js';

let hangs = false;

@Injectable()
class HangingListener {
  @InTransaction(SessionStarted)
  @InTransaction(SessionsEnded)
  @InTransaction(DevicesDeleted)
  async onAny(): Promise<void> {
    if (hangs) await new Promise(() => {});
  }
}

@Module({ providers: [HangingListener] })
class HangingModule {}

const app = useApp({
  extensions: [HangingModule],
  variables: { EVENT_LISTENER_TIMEOUT: '1s', DATABASE_POOL_SIZE: '5' },
});

describe('Listeners that hang in every transaction', () => {
  it('never use the last connections: look-ups continue, and no request waits forever', async () => {
    const sessions = await Promise.all(Array.from({ length: 8 }, () => app().matrix.register()));
    const reader = await app().matrix.register();
    hangs = true;
    let answered = 0;
    const requests = sessions.flatMap((session) => [
      app().matrix.logout(session),
      app().http.post('/_matrix/client/v3/login').send({
        type: 'm.login.password',
        user: session.userId,
        password: 'correct horse battery staple',
      }),
      app().matrix.logoutAll(session),
    ]);
    const all = requests.map(async (request) => {
      const { status } = await request;
      answered += 1;
      return status;
    });
    const open = () =>
      app().sql<{ count: number }>(`
        SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`);
    // Transactions use all the connections that they may use.
    await vi.waitFor(async () => expect((await open())[0]!.count).toBe(4), { timeout: 5_000 });
    const looks = await Promise.all(Array.from({ length: 50 }, () => app().matrix.whoami(reader)));
    expect(new Set(looks.map(({ status }) => status))).toEqual(new Set([200]));
    // They ended while all other requests were still blocked.
    expect(answered).toBe(0);
    const statuses = new Set(await Promise.all(all));
    for (const status of statuses) expect([500, 503, 401]).toContain(status);
    hangs = false;
    for (const session of sessions.slice(0, 5)) await app().matrix.logout(session).expect(200);
  }, 60_000);
});

describe('A key upload whose statements take too long', () => {
  it('fails without affecting other requests', async () => {
    const session = await app().matrix.register();
    const bystander = await Bystander.begin(app());
    await bystander.run('SELECT FROM accounts WHERE user_id = $1 FOR UPDATE', [session.userId]);
    await app().matrix.uploadKeys(session, someKeys(session)).expect(500);
    await bystander.commit();
    await app().matrix.uploadKeys(session, someKeys(session)).expect(200);
  });
});
