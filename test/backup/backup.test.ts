import { writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type ClientSession, someKeys } from '../../src/testing/matrix-client.js';
import { DebianPostgres } from '../support/debian-postgres.js';
import { Recorder } from '../support/recorder.js';
import { census, NOTHING, TestApp } from '../support/test-app.js';

let postgres: DebianPostgres;
let dump: string;
const apps: TestApp[] = [];

beforeAll(async () => {
  postgres = await DebianPostgres.start();
  dump = postgres.file('service.dump');
}, 60_000);
afterEach(async () => {
  for (const app of apps.splice(0)) await app.stop();
});
afterAll(() => postgres?.stop());

/** The service on a database of this server. */
async function startOn(database: string, recorder = new Recorder(), isNew = false): Promise<TestApp> {
  const location = { url: postgres.url(database) };
  const app = await TestApp.start({
    database: isNew ? await postgres.createDatabase(database) : { location, drop: async () => {} },
    extensions: [recorder.module],
    variables: { SERVER_ADMINS: '@admin:localhost', RECONCILE: 'off', EVENT_POLL_INTERVAL: '1h' },
  });
  apps.push(app);
  return app;
}

/** What administrators do after a restore. */
function admin(app: TestApp, { accessToken }: ClientSession) {
  const post = async (path: string, sent?: object) =>
    (
      await app.http
        .post(`/_session/v1/admin/${path}`)
        .auth(accessToken, { type: 'bearer' })
        .send(sent)
        .expect(200)
    ).body;
  return {
    findings: async (query = '') => (await post(`reconcile${query}`)).findings as { problem: string }[],
    endOlder: async (before: number) => {
      const { job_id: jobId } = await post('sessions/end', { refreshed_before: before });
      const job = () =>
        app.http.get(`/_session/v1/admin/jobs/${jobId}`).auth(accessToken, { type: 'bearer' }).expect(200);
      return vi.waitFor(async () => {
        const { body } = await job();
        expect(body.state).toBe('done');
        return body as { ended: number; failed: number };
      }, 20_000);
    },
  };
}

const statusOf = async (app: TestApp, session: ClientSession) => (await app.matrix.whoami(session)).status;

async function newSession(app: TestApp): Promise<ClientSession> {
  const session = await app.matrix.register({ refresh_token: true });
  await app.matrix.uploadKeys(session, someKeys(session)).expect(200);
  return session;
}

describe('On the oldest PostgreSQL that is supported', () => {
  it('a logout ends the token, the device and its keys', async () => {
    const app = await startOn('promise', undefined, true);
    expect(await app.sql(`SELECT current_setting('server_version_num')::int / 10000 AS version`)).toEqual([
      { version: 15 },
    ]);
    const first = await newSession(app);
    const session = await app.matrix.login(first.userId, { refresh_token: true });
    await app.matrix.uploadKeys(session, someKeys(session)).expect(200);
    expect(await app.matrix.queryKeys(first, session.userId)).toHaveProperty([session.deviceId]);
    await app.matrix.logout(session).expect(200, {});
    expect(await statusOf(app, session)).toBe(401);
    await app.matrix.refresh(session.refreshToken!).expect(401);
    expect(await app.matrix.queryKeys(first, session.userId)).not.toHaveProperty([session.deviceId]);
    expect(await census(app, session.userId, session.deviceId)).toEqual(NOTHING);
    expect(await statusOf(app, first)).toBe(200);
  });
});

describe('A backup', () => {
  /** Sessions by what happened to them: logged out before, during and after the dump, begun during it, or nothing. */
  const sessions = new Map<'before' | 'during' | 'after' | 'begun' | 'kept', ClientSession>();
  const session = (what: Parameters<typeof sessions.get>[0]) => sessions.get(what)!;
  let owed: string;

  it('is made by pg_dump while users log in and out', async () => {
    const recorder = new Recorder();
    const app = await startOn('service', recorder, true);
    await app.createUser('admin');
    for (const what of ['before', 'during', 'after', 'kept'] as const)
      sessions.set(what, await newSession(app));
    await app.matrix.logout(session('before')).expect(200);
    await app.drain();
    // A subscriber that is down, so the dump contains an event that it has not received.
    recorder.behave = () => Promise.reject(new Error('down'));
    owed = (await newSession(app)).userId;
    await app.drain();

    // Holds the dump up after it has chosen the moment that it shows.
    const holder = await postgres.connect('service');
    await holder.query('BEGIN; LOCK TABLE reconciler_rounds');
    const { ended } = postgres.begin('pg_dump', '-Fc', '-f', dump, '-d', postgres.url('service'));
    const waiting = `SELECT count(*)::int AS waiting FROM pg_locks WHERE NOT granted AND relation = 'reconciler_rounds'::regclass`;
    await expect
      .poll(async () => (await app.sql<{ waiting: number }>(waiting))[0]!.waiting, { timeout: 10_000 })
      .toBe(1);
    await app.matrix.logout(session('during')).expect(200);
    sessions.set('begun', await newSession(app));
    await holder.query('COMMIT');
    await holder.end();
    let isOver = false;
    void ended.then(() => (isOver = true));
    while (!isOver) await app.matrix.logout(await newSession(app)).expect(200);
    expect(await ended).toBe(0);

    await app.matrix.logout(session('after')).expect(200);
    const now = ['before', 'during', 'after', 'begun', 'kept'] as const;
    expect(await Promise.all(now.map((what) => statusOf(app, session(what))))).toEqual([
      401, 401, 401, 200, 200,
    ]);
  }, 60_000);

  it('brings back what ended since, and an administrator ends it again', async () => {
    await postgres.createDatabase('restored');
    await postgres.program(
      'pg_restore',
      '--exit-on-error',
      '--no-owner',
      '-d',
      postgres.url('restored'),
      dump,
    );
    const recorder = new Recorder();
    const app = await startOn('restored', recorder);
    const statuses = async () =>
      Object.fromEntries(
        await Promise.all([...sessions].map(async ([what, one]) => [what, await statusOf(app, one)])),
      );
    expect(await statuses()).toEqual({ before: 401, during: 200, after: 200, kept: 200, begun: 401 });
    const { userId, deviceId } = session('after');
    expect(await app.matrix.queryKeys(session('kept'), userId)).toHaveProperty([deviceId]);

    // Events that had not been delivered when the dump was made are delivered, perhaps once more.
    app.clock.advance(60 * 60_000);
    await app.drain();
    expect(recorder.of({ userId: owed })).not.toEqual([]);

    const before = app.clock.now().getTime();
    app.clock.advance(1_000);
    const boss = await app.matrix.login('@admin:localhost');
    const { findings, endOlder } = admin(app, boss);
    expect(await findings()).toEqual([]);
    expect(await findings('?dry_run=false')).toEqual([]);
    const fromDump = (await app.sql<{ count: number }>('SELECT count(*)::int FROM devices'))[0]!.count - 1;
    expect(await endOlder(before)).toMatchObject({ ended: fromDump, failed: 0 });
    expect(await statuses()).toEqual({ before: 401, during: 401, after: 401, kept: 401, begun: 401 });
    await app.matrix.refresh(session('after').refreshToken!).expect(401);
    expect(await census(app, userId, deviceId)).toEqual(NOTHING);
    expect(await statusOf(app, boss)).toBe(200);
    const again = await app.matrix.login(session('during').userId);
    expect(await statusOf(app, again)).toBe(200);
  }, 60_000);

  it('that was restored without its foreign keys, and has lost rows, is repaired by the reconciler', async () => {
    await postgres.createDatabase('damaged');
    const url = postgres.url('damaged');
    const restore = (...args: string[]) =>
      postgres.program('pg_restore', '--exit-on-error', '--no-owner', '-d', url, ...args, dump);
    await restore('--section=pre-data', '--section=data');
    await postgres.program(
      'psql',
      url,
      '-v',
      'ON_ERROR_STOP=1',
      '-c',
      `DELETE FROM devices WHERE user_id = '${session('after').userId}'`,
    );
    const list = (await postgres.program('pg_restore', '--list', '--section=post-data', dump)).split('\n');
    const restoreListed = async (isMeant: (line: string) => boolean) => {
      await writeFile(postgres.file('list'), list.filter(isMeant).join('\n'));
      return restore('--single-transaction', '-L', postgres.file('list'));
    };
    await restoreListed((line) => !line.includes('FK CONSTRAINT'));
    const foreignKeys = () => restoreListed((line) => line.includes('FK CONSTRAINT'));
    await expect(foreignKeys()).rejects.toThrow('violates foreign key constraint');

    const app = await startOn('damaged');
    const { userId } = session('after');
    expect(await statusOf(app, session('kept'))).toBe(200);
    const { findings } = admin(app, await app.matrix.login('@admin:localhost'));
    const found = (await findings()).map(({ problem }) => problem);
    expect(found.toSorted()).toEqual(
      [
        'access_tokens',
        'device_keys',
        'fallback_keys',
        'one_time_keys',
        'refresh_tokens',
        'session_families',
      ].map((table) => `${table}_without_device`),
    );
    expect((await census(app, userId))['one_time_keys']).toBeGreaterThan(0);
    await findings('?dry_run=false');
    expect(await findings()).toEqual([]);
    expect(await census(app, userId)).toEqual(NOTHING);
    await foreignKeys();
    expect(await statusOf(app, session('kept'))).toBe(200);
    await app.matrix.logout(session('kept')).expect(200);
  }, 60_000);
});
