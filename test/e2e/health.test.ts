import { Injectable, Module } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AfterCommit, SessionStarted } from '../../src/index.js';
import { MetricsServer } from '../../src/metrics/metrics.server.js';
import { OwnPostgres } from '../support/own-postgres.js';
import { ServiceProcess } from '../support/service-process.js';
import { useApp } from '../support/test-app.js';

@Injectable()
class Lazy {
  @AfterCommit(SessionStarted, 'lazy')
  async onSessionStarted(): Promise<void> {
    throw new Error('Not today');
  }
}

@Module({ providers: [Lazy] })
class LazyModule {}

const app = useApp({ extensions: [LazyModule], variables: { METRICS_PORT: '0', READY_MAX_LAG: '1m' } });

/** What operators are told, and what the world is told. */
async function told(): Promise<{ details: Record<string, unknown>; statuses: number[]; body: object }> {
  const details = await fetch(
    `http://127.0.0.1:${app().nest.get(MetricsServer, { strict: false }).port}/health/ready`,
  );
  const { status, body } = await app().http.get('/health/ready');
  return {
    details: (await details.json()) as Record<string, unknown>,
    statuses: [details.status, status],
    body,
  };
}

describe('A node', () => {
  it('is ready if all of its checks are good, and tells operators how long each took', async () => {
    const up = { status: 'up', responseTime: expect.any(Number) };
    expect(await told()).toEqual({
      statuses: [200, 200],
      body: {},
      details: {
        status: 'ok',
        info: expect.any(Object),
        error: {},
        details: {
          node: { status: 'up' },
          database: up,
          schema: up,
          deliveries: { ...up, lagMs: expect.any(Number) },
        },
      },
    });
    await app().http.get('/health/live').expect(200, {});
  });

  it('is not ready while events wait for too long', async () => {
    await app().matrix.register();
    expect((await told()).statuses).toEqual([200, 200]);
    app().clock.advance(61_000);
    const { statuses, body, details } = await told();
    expect(statuses).toEqual([503, 503]);
    expect(details['error']).toMatchObject({
      deliveries: { status: 'down', message: expect.stringMatching(/^An event/) },
    });
    // The world hears nothing of why.
    expect(body).toEqual({ errcode: 'M_UNKNOWN', error: expect.not.stringContaining('event') });
    await app().sql(`DELETE FROM event_deliveries WHERE subscriber = 'lazy'`);
    expect((await told()).statuses).toEqual([200, 200]);
  });

  it('is not ready on an older schema, and is on a newer one', async () => {
    const [last] = await app().sql<{ name: string }>(
      'SELECT name FROM schema_migrations ORDER BY timestamp DESC LIMIT 1',
    );
    await app().sql(`UPDATE schema_migrations SET name = 'x' WHERE name = $1`, [last!.name]);
    const { statuses, details } = await told();
    expect(statuses).toEqual([503, 503]);
    expect(JSON.stringify(details['error'])).toContain(`older than this node: ${last!.name}`);
    await app().sql(`UPDATE schema_migrations SET name = $1 WHERE name = 'x'`, [last!.name]);
    await app().sql(`INSERT INTO schema_migrations (timestamp, name) VALUES (1, 'of the next version')`);
    expect((await told()).statuses).toEqual([200, 200]);
  });
});

describe('A node that was told to stop', () => {
  let postgres: OwnPostgres;
  beforeAll(async () => {
    postgres = await OwnPostgres.start();
  }, 60_000);
  afterAll(() => postgres.stop());

  it('is not ready at once, and serves everybody until load balancers have noticed', async () => {
    const service = await ServiceProcess.start({
      DATABASE_URL: postgres.url,
      SHUTDOWN_DELAY: '3s',
    });
    const get = async (path: string) =>
      (await fetch(service.url + path, { headers: { Connection: 'close' } })).status;
    expect(await get('/health/ready')).toBe(200);
    const exit = service.stop();
    await vi.waitFor(async () => expect(await get('/health/ready')).toBe(503));
    expect([await get('/health/live'), await get('/_matrix/client/versions')]).toEqual([200, 200]);
    expect(await exit).toBe(0);
    await expect(get('/health/live')).rejects.toThrow();
  }, 30_000);
});
