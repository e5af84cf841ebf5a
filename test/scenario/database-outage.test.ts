import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type ClientSession, V3 } from '../../src/testing/matrix-client.js';
import { OwnPostgres } from '../support/own-postgres.js';
import { freePort, ServiceProcess } from '../support/service-process.js';

let postgres: OwnPostgres;
let service: ServiceProcess;
let metrics: string;

beforeAll(async () => {
  postgres = await OwnPostgres.start();
  const metricsPort = String(await freePort());
  metrics = `http://127.0.0.1:${metricsPort}/metrics`;
  service = await ServiceProcess.start({ DATABASE_URL: postgres.url, METRICS_PORT: metricsPort });
});
afterAll(async () => {
  await service?.stop('SIGKILL');
  await postgres?.stop();
});

const STATUSES = new Set([200, 401, 503]);

/**
 * Keeps the service busy with reads and transactions until it is told to stop, and returns the unexpected answers.
 */
function load(session: ClientSession): () => Promise<string[]> {
  let isOver = false;
  const strange: string[] = [];
  const headers = { Authorization: `Bearer ${session.accessToken}` };
  const calls = [
    () => fetch(`${service.url}${V3}/account/whoami`, { headers }),
    () => fetch(`${service.url}${V3}/keys/upload`, { method: 'POST', headers, body: '{}' }),
    () =>
      fetch(`${service.url}${V3}/logout`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${session.accessToken}x` },
      }),
    () => fetch(`${service.url}${V3}/devices`, { headers }),
  ];
  const worker = async (call: () => Promise<Response>) => {
    while (!isOver) {
      try {
        const answer = await call();
        const text = await answer.text();
        if (!STATUSES.has(answer.status)) strange.push(`${answer.status} ${text}`);
        if (answer.status === 503 && answer.headers.get('Retry-After') === null)
          strange.push('no Retry-After');
      } catch (error) {
        strange.push(String(error));
      }
    }
  };
  const workers = calls.flatMap((call) => [worker(call), worker(call), worker(call)]);
  return async () => {
    isOver = true;
    await Promise.all(workers);
    return strange;
  };
}

const whoami = (session: ClientSession) => service.matrix.whoami(session);
const works = (session: ClientSession) =>
  vi.waitFor(async () => expect((await whoami(session)).status).toBe(200), { timeout: 10_000 });

describe('Under load, the service survives', () => {
  it('thirty fast restarts of PostgreSQL, and answers every request with 200 or 503', async () => {
    const session = await service.matrix.register();
    const stop = load(session);
    for (let nth = 0; nth < 30 && service.isRunning; nth += 1) await postgres.restart();
    expect(await stop()).toEqual([]);
    expect(service.isRunning).toBe(true);
    await works(session);
  }, 120_000);

  it('eighty rounds in which all of its connections are terminated', async () => {
    const session = await service.matrix.register();
    const stop = load(session);
    const killer = await postgres.client();
    for (let nth = 0; nth < 80 && service.isRunning; nth += 1) {
      await killer.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'matrix-session-service'`,
      );
      await sleep(20);
    }
    await killer.end();
    expect(await stop()).toEqual([]);
    expect(service.isRunning).toBe(true);
    await works(session);
  }, 120_000);
});

describe('While PostgreSQL is down', () => {
  it('requests get 503 M_UNKNOWN, the log reports it once, and the other ports keep working', async () => {
    const session = await service.matrix.register();
    await service.http.get('/health/ready').expect(200, {});
    // Wait until the previous outage is over.
    await sleep(1_100);
    await whoami(session);
    // The log arrives in the test a moment after the answer.
    const lastOf = (words: string) => service.words.lastIndexOf(words);
    await vi.waitFor(() =>
      expect(lastOf('The database is back')).toBeGreaterThanOrEqual(lastOf('The database is not available')),
    );
    service.words = '';
    await postgres.halt();
    for (let nth = 0; nth < 40; nth += 1) {
      const answer = await whoami(session);
      expect(answer.status).toBe(503);
      expect(answer.body).toEqual({ errcode: 'M_UNKNOWN', error: expect.any(String) });
    }
    const login = { type: 'm.login.password', identifier: { type: 'm.id.user', user: 'x' }, password: 'y' };
    for (const call of [
      service.http.post(`${V3}/login`).send(login),
      service.matrix.logout(session),
      service.matrix.uploadKeys(session, {}),
      service.http.get('/health/ready'),
    ]) {
      const answer = await call.expect(503);
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    }
    await service.http.get('/health/live').expect(200, {});
    const read = await fetch(metrics);
    expect([read.status, await read.text()]).toEqual([
      200,
      expect.stringContaining('session_event_deliveries'),
    ]);
    await postgres.resume();
    await works(session);
    await service.http.get('/health/ready').expect(200, {});
    await sleep(1_100);
    await whoami(session);
    const lines = () => service.words.split('\n').filter((line) => /database|Error|error/.test(line));
    await vi.waitFor(() =>
      expect(lines()).toEqual([
        expect.stringContaining('The database is not available'),
        expect.stringMatching(/The database is back after [\d.]+ s, in which \d+ requests failed/),
      ]),
    );
  }, 60_000);

  it('requests are answered even if it only hangs, and work continues when it recovers', async () => {
    const session = await service.matrix.register();
    await postgres.freeze();
    try {
      const answers = await Promise.all(Array.from({ length: 50 }, () => whoami(session)));
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]));
    } finally {
      await postgres.thaw();
    }
    await works(session);
    await service.matrix.logout(session).expect(200, {});
  }, 60_000);

  it('a read-only database makes writes fail with 503, and reads still work', async () => {
    const session = await service.matrix.register();
    await postgres.execute(`ALTER SYSTEM SET default_transaction_read_only = on`);
    await postgres.execute('SELECT pg_reload_conf()');
    await vi.waitFor(async () =>
      expect((await service.matrix.uploadKeys(session, {}).ok(() => true)).status).toBe(503),
    );
    service.words = '';
    for (let nth = 0; nth < 4; nth += 1) {
      expect((await whoami(session)).status).toBe(200);
      await service.matrix.logout(session).expect(503);
      await service.http.get('/health/ready').expect(503);
      await sleep(400);
    }
    expect(service.words).not.toContain('is back');
    const client = await postgres.client();
    await client.query('SET default_transaction_read_only = off');
    await client.query('ALTER SYSTEM RESET default_transaction_read_only');
    await client.query('SELECT pg_reload_conf()');
    await client.end();
    await vi.waitFor(async () =>
      expect((await service.matrix.logout(session).ok(() => true)).status).toBe(200),
    );
    await service.http.get('/health/ready').expect(200, {});
  });
});

describe('If PostgreSQL allows fewer connections than the pool would open', () => {
  it('requests wait for a free connection', async () => {
    const small = await OwnPostgres.start({ max_connections: '14' });
    const others = await Promise.all(Array.from({ length: 10 }, () => small.client()));
    const starved = await ServiceProcess.start({ DATABASE_URL: small.url, DATABASE_POOL_SIZE: '10' });
    try {
      const sessions = await Promise.all(Array.from({ length: 24 }, () => starved.matrix.register()));
      const answers = await Promise.all(
        sessions.flatMap((session) => [
          starved.matrix.whoami(session),
          starved.matrix.uploadKeys(session, {}),
          starved.matrix.call(session, 'get', '/devices'),
        ]),
      );
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
      const logouts = await Promise.all(sessions.map((session) => starved.matrix.logout(session)));
      expect(new Set(logouts.map(({ status }) => status))).toEqual(new Set([200]));
    } finally {
      await starved.stop('SIGKILL');
      await Promise.all(others.map((other) => other.end()));
      await small.stop();
    }
  }, 60_000);
});
