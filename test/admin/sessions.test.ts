import { beforeAll, describe, expect, it } from 'vitest';
import { EndingJobsRunner } from '../../src/admin/jobs/ending-jobs.runner.js';
import { AdminSessionsStore } from '../../src/admin/sessions/sessions.store.js';
import { EndingJobsStore } from '../../src/admin/jobs/ending-jobs.store.js';
import { KeysDevicesListener } from '../../src/keys/keys-devices.listener.js';
import { EndingStore } from '../../src/session/ending/ending.store.js';
import { EndingSweeper } from '../../src/session/ending/ending-sweeper.js';
import { type ClientSession, someKeys } from '../../src/testing/matrix-client.js';
import { census, NOTHING, TestApp, useApp } from '../support/test-app.js';
import { ADMIN_TOKEN, Administrator } from './support.js';

const app = useApp({ variables: { ADMIN_TOKEN } });
const admin = new Administrator(app);

interface Session {
  readonly user_id: string;
  readonly device_id: string;
  readonly [field: string]: unknown;
}

const idOf = ({ user_id: user, device_id: device }: Session) => `${user} ${device}`;
const idOfClient = ({ userId, deviceId }: ClientSession) => `${userId} ${deviceId}`;

/** Sets when, where and by what a device was last seen. */
async function see({ userId, deviceId }: ClientSession, at: Date, ip: string, agent: string): Promise<void> {
  await app().sql(
    'UPDATE devices SET last_seen_at = $3, last_seen_ip = $4, last_seen_user_agent = $5 WHERE user_id = $1 AND device_id = $2',
    [userId, deviceId, at, ip, agent],
  );
}

/** Waits until no device is marked any more. */
async function swept(): Promise<void> {
  await app().nest.get(EndingSweeper, { strict: false }).sweep();
}

describe('The list of sessions', () => {
  let sessions: ClientSession[];
  const found = async (query: string) =>
    (await admin.all<Session>(`/sessions?${query}`, 'sessions'))
      .map(idOf)
      .filter((id) => sessions.some((one) => idOfClient(one) === id));
  const ids = (...which: number[]) => which.map((n) => idOfClient(sessions[n]!)).toSorted();

  beforeAll(async () => {
    const user = await app().matrix.register();
    sessions = [user, await app().matrix.login(user.userId), await app().matrix.register()];
    await app().sql(`UPDATE session_families SET started_at = started_at - interval '100 seconds'`);
    const now = app().clock.now().getTime();
    await see(sessions[0]!, new Date(now - 90_000), '192.0.2.7', 'Element/1.11.50 (Linux)');
    await see(sessions[1]!, new Date(now - 30_000), '2001:db8::7', 'Element X/25.11');
    await see(sessions[2]!, new Date(now), 'unknown', 'curl/8.0');
  });

  it('finds sessions by every condition, in pages', async () => {
    const [{ userId }, , other] = sessions as [ClientSession, ClientSession, ClientSession];
    for (const limit of [1, 2, 1_000])
      expect((await found(`limit=${limit}`)).toSorted()).toEqual(ids(0, 1, 2));
    expect((await found(`user_id=${userId}`)).toSorted()).toEqual(ids(0, 1));
    expect(await found(`user_id=${userId}&limit=1`)).toHaveLength(2);
    expect(await found(`device_id=${other.deviceId}`)).toEqual(ids(2));
    expect((await found('user_agent=element')).toSorted()).toEqual(ids(0, 1));
    expect(await found('user_agent=Element/1.11')).toEqual(ids(0));
    expect(await found('address=192.0.2.7')).toEqual(ids(0));
    expect(await found('address=192.0.2.0/24')).toEqual(ids(0));
    expect(await found('address=2001:db8::/32')).toEqual(ids(1));
    for (const none of ['dead', '1.2.3.4:5678', ':::', 'unknown']) {
      await see(other, new Date(), none, 'curl/8.0');
      expect(await found('address=192.0.2.0/24')).toEqual(ids(0));
    }
    expect(await found('address=::ffff:192.0.2.0/120')).toEqual(ids(0));
    expect(await found('address=0.0.0.0/0')).toEqual(ids(0));
    expect(await found('user_agent=true')).toEqual([]);
    const before = app().clock.now().getTime() - 60_000;
    expect(await found(`seen_before=${before}`)).toEqual(ids(0));
    expect((await found(`created_before=${before}`)).toSorted()).toEqual(ids(0, 1, 2));
    expect(await found(`created_before=${before - 60_000}`)).toEqual([]);
    expect(await found('kind=guest')).toEqual([]);
    expect(await found('client_id=nobody')).toEqual([]);
    expect(await found(`user_agent=element&address=192.0.2.7&user_id=${userId}`)).toEqual(ids(0));
  });

  it('shows what is known of a session', async () => {
    const { body } = await admin.get(`/sessions?device_id=${sessions[0]!.deviceId}`).expect(200);
    expect(body.sessions).toEqual([
      {
        user_id: sessions[0]!.userId,
        device_id: sessions[0]!.deviceId,
        display_name: null,
        kind: 'user',
        client_id: null,
        created_ts: expect.any(Number),
        last_seen_ts: expect.any(Number),
        last_seen_ip: '192.0.2.7',
        last_seen_user_agent: 'Element/1.11.50 (Linux)',
      },
    ]);
  });

  it('refuses what it does not understand', async () => {
    for (const query of [
      'address=nowhere',
      'address=192.0.2.0/33',
      'address=1.2.3',
      'kind=bot',
      'seen_before=now',
      'from=x',
      `from=${Buffer.from('["a"]').toString('base64url')}`,
      `from=${Buffer.from('["a\\u0000","b"]').toString('base64url')}`,
    ]) {
      const answer = await admin.get(`/sessions?${query}`).expect(400);
      expect([query, answer.body.errcode]).toEqual([query, 'M_INVALID_PARAM']);
    }
  });
});

describe('Ending sessions', () => {
  it('says first how many and which, and ends none', async () => {
    const [one, other] = [await app().matrix.register(), await app().matrix.register()];
    await see(one, app().clock.now(), '198.51.100.1', 'Stolen/1');
    await see(other, app().clock.now(), '198.51.100.2', 'Stolen/1');
    const { body } = await admin.post('/sessions/end', { user_agent: 'stolen', dry_run: true }).expect(200);
    expect(body).toMatchObject({ dry_run: true, count: 2 });
    expect(body.sessions.map(idOf).toSorted()).toEqual([idOfClient(one), idOfClient(other)].toSorted());
    for (const session of [one, other]) expect((await app().matrix.whoami(session)).status).toBe(200);
  });

  it('ends those that meet the conditions, with their devices and keys, and no other', async () => {
    const { matrix } = app();
    const victim = await matrix.register();
    const [second, kept] = [await matrix.login(victim.userId), await matrix.login(victim.userId)];
    await matrix.uploadKeys(victim, someKeys(victim)).expect(200);
    const stranger = await matrix.register();
    const { body } = await admin
      .post('/sessions/end', {
        user_id: victim.userId,
        except: [{ user_id: victim.userId, device_id: kept.deviceId }],
        reason: 'A stolen laptop',
      })
      .expect(200);
    expect(body).toMatchObject({ state: 'running', actor: 'admin_token', reason: 'A stolen laptop' });
    expect(await admin.finished(body.job_id)).toMatchObject({ state: 'done', ended: 2, failed: 0 });
    for (const ended of [victim, second]) expect((await matrix.whoami(ended)).status).toBe(401);
    for (const alive of [kept, stranger]) expect((await matrix.whoami(alive)).status).toBe(200);
    await swept();
    expect(await census(app(), victim.userId, victim.deviceId)).toEqual(NOTHING);

    const audit = async (action: string) =>
      (await admin.get(`/audit?action=${action}&user_id=${victim.userId}`).expect(200)).body.entries;
    expect(await audit('sessions_ending')).toEqual([
      expect.objectContaining({ actor: 'admin_token', reason: 'A stolen laptop', operation: body.job_id }),
    ]);
    const endings = (await audit('session_ended')) as { actor: string; reason: string }[];
    expect(endings.map(({ actor, reason }) => [actor, reason])).toEqual([
      ['admin_token', 'admin'],
      ['admin_token', 'admin'],
    ]);
  });

  it('leaves sessions that begin after the order', async () => {
    const victim = await app().matrix.register();
    const store = app().nest.get(EndingJobsStore, { strict: false });
    const lease = app().fail(EndingJobsStore, 'lease');
    const { body } = await admin.post('/sessions/end', { user_id: victim.userId }).expect(200);
    app().clock.advance(10);
    const later = await app().matrix.login(victim.userId);
    lease.restore();
    expect(store).toBeDefined();
    await app().nest.get(EndingJobsRunner, { strict: false }).run();
    expect(await admin.finished(body.job_id)).toMatchObject({ ended: 1 });
    expect((await app().matrix.whoami(later)).status).toBe(200);
  });

  it('leaves a session that begins after the order on the same device', async () => {
    const victim = await app().matrix.register();
    const lease = app().fail(EndingJobsStore, 'lease');
    const { body } = await admin.post('/sessions/end', { user_id: victim.userId }).expect(200);
    app().clock.advance(10);
    const later = await app().matrix.login(victim.userId, { device_id: victim.deviceId });
    lease.restore();
    await app().nest.get(EndingJobsRunner, { strict: false }).run();
    expect(await admin.finished(body.job_id)).toMatchObject({ ended: 0 });
    expect((await app().matrix.whoami(later)).status).toBe(200);
    const { sessions } = (await admin.get(`/sessions?user_id=${victim.userId}`).expect(200)).body;
    expect(sessions[0].created_ts).toBeGreaterThan(body.filter.created_before);
  });

  describe('leaves no way back in', () => {
    beforeAll(() =>
      app().sql(`INSERT INTO oauth_clients (client_id, metadata, registered_at, last_used_at)
                 VALUES ('c', '{}', now(), now())`),
    );
    /** A browser that is signed in, and a grant that no client has fetched. */
    const sign = async (userId: string): Promise<void> => {
      const now = app().clock.now();
      const end = new Date(now.getTime() + 60_000);
      await app().sql(
        `INSERT INTO browser_sessions (user_id, session_digest, created_at, authenticated_at, seen_at, expires_at)
         VALUES ($1, sha256($1::text::bytea), $2, $2, $2, $3)`,
        [userId, now, end],
      );
      await app().sql(
        `INSERT INTO oauth_grants (user_id, grant_digest, client_id, scope, device_id, issued_at, expires_at)
         VALUES ($1, sha256($1::text::bytea), 'c', 's', 'D', $2, $3)`,
        [userId, now, end],
      );
      app().clock.advance(5);
    };
    const waysIn = async (userIds: string[]) => {
      const rows = await app().sql<{ user_id: string }>(
        `SELECT user_id FROM browser_sessions WHERE user_id = ANY ($1)
         UNION ALL SELECT user_id FROM oauth_grants WHERE user_id = ANY ($1)`,
        [userIds],
      );
      return userIds.map((userId) => rows.filter((row) => row.user_id === userId).length);
    };
    const users = async (): Promise<string[]> => {
      const [one, two] = [await app().matrix.register(), await app().matrix.register()];
      // The third has signed in with a browser only.
      const third = await app().matrix.register();
      await app().matrix.logoutAll(third).expect(200);
      const all = [one.userId, two.userId, third.userId];
      for (const userId of all) await sign(userId);
      expect(await waysIn(all)).toEqual([2, 2, 2]);
      return all;
    };

    it('to users whose sessions it ends', async () => {
      const [one, two, third] = await users();
      const { body } = await admin
        .post('/sessions/end', { user_id: one, user_agent: 'nobody’s' })
        .expect(200);
      await admin.finished(body.job_id);
      expect(await waysIn([one!])).toEqual([2]);
      for (const user_id of [one, third]) {
        const order = await admin.post('/sessions/end', { user_id }).expect(200);
        await admin.finished(order.body.job_id);
      }
      expect(await waysIn([one!, two!, third!])).toEqual([0, 2, 0]);
    });

    it('to anybody but those who are excepted, when it ends all', async () => {
      const [one, two, third] = await users();
      const except = [{ user_id: two }];
      const { body } = await admin.post('/sessions/end', { all: true, except }).expect(200);
      expect(body.filter).toEqual({ created_before: expect.any(Number), except });
      await admin.finished(body.job_id);
      expect(await waysIn([one!, two!, third!])).toEqual([0, 2, 0]);
    });

    it('after a restore: what was refreshed since then stays', async () => {
      const [one] = await users();
      const refreshed = await app().matrix.register({ refresh_token: true });
      app().clock.advance(1_000);
      const before = app().clock.now().getTime();
      app().clock.advance(1_000);
      const { body: pair } = await app().matrix.refresh(refreshed.refreshToken!).expect(200);
      const { body } = await admin.post('/sessions/end', { refreshed_before: before }).expect(200);
      await admin.finished(body.job_id);
      expect(await waysIn([one!])).toEqual([0]);
      const alive = { ...refreshed, accessToken: pair.access_token as string };
      expect((await app().matrix.whoami(alive)).status).toBe(200);
      expect((await admin.get('/sessions?limit=10')).body.sessions).toMatchObject([
        { user_id: refreshed.userId },
      ]);
    });
  });

  it('refuses an order without a condition, and one that is mistyped', async () => {
    const session = await app().matrix.register();
    for (const body of [
      {},
      { reason: 'why not' },
      { except: [] },
      { userid: session.userId },
      { all: false },
      { user_id: null },
      { user_agent: '' },
      { seen_before: '2026' },
      { user_id: session.userId, except: [{ device_id: 'X' }] },
      [],
    ]) {
      const answer = await admin.post('/sessions/end', body).expect(400);
      expect(['M_BAD_JSON', 'M_MISSING_PARAM']).toContain(answer.body.errcode);
    }
    await admin.post('/sessions/end', { address: '10.0.0.0/64' }).expect(400);
    expect((await app().matrix.whoami(session)).status).toBe(200);
  });

  it('goes on with the others if one cannot be ended', async () => {
    const { matrix } = app();
    const user = await matrix.register();
    const other = await matrix.login(user.userId);
    const marks = app().nest.get(KeysDevicesListener, { strict: false });
    expect(marks).toBeDefined();
    await app().sql(
      `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'Not this one'; END $$`,
    );
    await app().sql(
      `CREATE TRIGGER refuse BEFORE INSERT ON ending_devices FOR EACH ROW WHEN (NEW.device_id = '${other.deviceId}')
       EXECUTE FUNCTION refuse()`,
    );
    const { body } = await admin.post('/sessions/end', { user_id: user.userId }).expect(200);
    expect(await admin.finished(body.job_id)).toMatchObject({ state: 'done', ended: 1, failed: 1 });
    await app().sql('DROP FUNCTION refuse() CASCADE');
    expect((await matrix.whoami(user)).status).toBe(401);
    expect((await matrix.whoami(other)).status).toBe(200);
  });
});

describe('A job', () => {
  const SESSIONS = 3_000;
  const seed = async (prefix: string) => {
    await app().sql(
      `INSERT INTO accounts (user_id, created_at) SELECT '@${prefix}' || n || ':localhost', now() FROM generate_series(1, ${SESSIONS}) AS n`,
    );
    await app().sql(
      `INSERT INTO devices (user_id, device_id, created_at, last_seen_user_agent)
       SELECT '@${prefix}' || n || ':localhost', 'D', now() - interval '1 hour', '${prefix}' FROM generate_series(1, ${SESSIONS}) AS n`,
    );
    await app().sql(
      `INSERT INTO access_tokens (user_id, token_digest, device_id, confirms_rotation, created_at)
       SELECT '@${prefix}' || n || ':localhost', sha256(n::text::bytea), 'D', false, now() FROM generate_series(1, ${SESSIONS}) AS n`,
    );
  };
  const tokens = async (prefix: string) =>
    (
      await app().sql<{ count: number }>(
        `SELECT count(*)::int FROM access_tokens WHERE user_id LIKE '@${prefix}%'`,
      )
    )[0]!.count;

  it('can be cancelled, and goes on where it was', async () => {
    await seed('cancelled');
    const store = app().nest.get(EndingJobsStore, { strict: false });
    const advance = store.advance.bind(store);
    let steps = 0;
    let jobId = '';
    // After the second commit, an administrator changes their mind.
    store.advance = async (...values) => {
      steps += 1;
      if (steps === 3) await admin.post(`/jobs/${jobId}/cancel`).expect(200);
      return advance(...values);
    };
    const hold = app().fail(EndingJobsStore, 'lease');
    const { body } = await admin.post('/sessions/end', { user_agent: 'cancelled' }).expect(200);
    jobId = body.job_id as string;
    hold.restore();
    await app().nest.get(EndingJobsRunner, { strict: false }).run();
    store.advance = advance;
    expect((await admin.get(`/jobs/${jobId}`)).body).toMatchObject({ state: 'cancelled', ended: 1_000 });
    expect(await tokens('cancelled')).toBe(SESSIONS - 1_000);
    expect((await admin.post(`/jobs/${jobId}/cancel`).expect(200)).body).toMatchObject({
      state: 'cancelled',
    });
    await admin.post(`/jobs/${jobId}/resume`).expect(200);
    expect(await admin.finished(jobId)).toMatchObject({
      state: 'done',
      ended: SESSIONS,
      failed: 0,
    });
    expect(await tokens('cancelled')).toBe(0);
    await admin.post(`/jobs/${jobId}/cancel`).expect(400);
    await admin.post(`/jobs/${jobId}/resume`).expect(400);
    // What changed nothing has no entry.
    const entries = await admin.all<{ action: string; operation: string; actor: string }>(
      '/audit?limit=1000',
      'entries',
    );
    const turns = entries.filter(
      ({ action, operation }) => operation === jobId && action !== 'sessions_ending',
    );
    expect(turns.map(({ action }) => action)).toEqual(['job_resumed', 'job_cancelled']);
    expect(turns.map(({ actor }) => actor)).toEqual(['admin_token', 'admin_token']);
    await swept();
  }, 60_000);

  it('goes on at another node if its node has died', async () => {
    await seed('orphaned');
    const store = app().nest.get(EndingJobsStore, { strict: false });
    const hold = app().fail(EndingJobsStore, 'lease');
    const { body } = await admin.post('/sessions/end', { user_agent: 'orphaned' }).expect(200);
    hold.restore();
    // A node leases the job and is never heard of again.
    expect((await store.lease('dead'))?.jobId).toBe(body.job_id);
    const node = await TestApp.start({ database: app().database, variables: { ADMIN_TOKEN } });
    const runner = node.nest.get(EndingJobsRunner, { strict: false });
    await runner.run();
    expect((await admin.get(`/jobs/${body.job_id}`)).body).toMatchObject({ state: 'running', ended: 0 });
    node.clock.advance(120_000);
    await runner.run();
    expect((await admin.get(`/jobs/${body.job_id}`)).body).toMatchObject({ state: 'done', ended: SESSIONS });
    expect(await tokens('orphaned')).toBe(0);
    await node.nest.get(EndingSweeper, { strict: false }).sweep();
    await node.stop();
  }, 60_000);

  it('that cannot go on has failed, and others do not wait for it', async () => {
    const victim = await app().matrix.register();
    const hold = app().fail(EndingJobsStore, 'lease');
    const first = await admin.post('/sessions/end', { user_id: victim.userId }).expect(200);
    app().clock.advance(5);
    const second = await admin.post('/sessions/end', { user_id: victim.userId }).expect(200);
    hold.restore();
    const store = app().nest.get(AdminSessionsStore, { strict: false });
    const look = store.look.bind(store);
    let isFirst = true;
    store.look = (...given) => {
      if (!isFirst) return look(...given);
      isFirst = false;
      return Promise.reject(new Error('Nothing can be seen'));
    };
    await app().nest.get(EndingJobsRunner, { strict: false }).run();
    store.look = look;
    expect(await admin.finished(second.body.job_id)).toMatchObject({ state: 'done', ended: 1 });
    const failed = (await admin.get(`/jobs/${first.body.job_id}`)).body;
    expect(failed).toMatchObject({ state: 'failed', error: 'Nothing can be seen', ended: 0 });
    await admin.post(`/jobs/${first.body.job_id}/resume`).expect(200);
    expect(await admin.finished(first.body.job_id)).toMatchObject({ state: 'done', error: null });
  });

  it('finds no session that has ended, although its device still waits for its deletion', async () => {
    const user = await app().matrix.register();
    const sweep = app().fail(EndingStore, 'first');
    const order = await admin.post('/sessions/end', { user_id: user.userId }).expect(200);
    await admin.finished(order.body.job_id);
    expect((await admin.get(`/sessions?user_id=${user.userId}`)).body.sessions).toEqual([]);
    const again = await admin.post('/sessions/end', { user_id: user.userId }).expect(200);
    expect(await admin.finished(again.body.job_id)).toMatchObject({ ended: 0, failed: 0 });
    sweep.restore();
    await swept();
    expect(await census(app(), user.userId)).toEqual(NOTHING);
  });

  it('is gone when the audit would forget it', async () => {
    const list = () => admin.all<{ job_id: string }>('/jobs?limit=1', 'jobs');
    const before = await list();
    expect(before.length).toBeGreaterThan(2);
    expect(before.map(({ job_id: id }) => id)).toEqual(
      before
        .map(({ job_id: id }) => id)
        .toSorted()
        .toReversed(),
    );
    const store = app().nest.get(EndingJobsStore, { strict: false });
    expect(await store.purge(new Date(app().clock.now().getTime() + 1_000), 2)).toEqual({
      looked: 2,
      removed: 2,
    });
    expect(await list()).toHaveLength(before.length - 2);
    await admin.get('/jobs/job_none').expect(404);
  });
});

describe('The logout of a user by an administrator', () => {
  it('has a dry run', async () => {
    const user = await app().matrix.register();
    const call = (query: string) => admin.post(`/users/${user.userId}/logout${query}`);
    expect((await call('?dry_run=true').expect(200)).body).toMatchObject({ dry_run: true, count: 1 });
    const device = `?device_id=${user.deviceId}`;
    expect((await call(`${device}&dry_run=true`).expect(200)).body).toMatchObject({ count: 1 });
    await call('?device_id=none&dry_run=true').expect(404);
    await call('?dry_run=yes').expect(400);
    expect((await app().matrix.whoami(user)).status).toBe(200);
    await call(`${device}&dry_run=false`).expect(200, {});
    expect((await app().matrix.whoami(user)).status).toBe(401);
  });
});
