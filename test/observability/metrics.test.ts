import { Injectable, Module } from '@nestjs/common';
import type { Express } from 'express';
import { describe, expect, it } from 'vitest';
import { KeysDevicesListener } from '../../src/keys/keys-devices.listener.js';
import { AfterCommit, DevicesDeleted } from '../../src/index.js';
import { Metrics } from '../../src/metrics/metrics.js';
import { OUTCOMES } from '../../src/observability/outcomes.js';
import { PASSWORD, someKeys, V3 } from '../../src/testing/matrix-client.js';
import { useApp } from '../support/test-app.js';

@Injectable()
class StubbornSubscriber {
  @AfterCommit(DevicesDeleted, 'stubborn')
  onDevicesDeleted(): Promise<void> {
    return Promise.reject(new Error('Not today'));
  }
}

@Module({ providers: [StubbornSubscriber] })
class StubbornModule {}

const app = useApp({
  extensions: [StubbornModule],
  variables: {
    METRICS_PORT: '0',
    PUBLIC_BASE_URL: 'http://localhost',
    SERVER_ADMINS: '@admin:localhost',
  },
});
const text = () => app().nest.get(Metrics).text();

async function valueOf(line: string): Promise<number | undefined> {
  const found = (await text()).split('\n').find((one) => one.startsWith(`${line} `));
  return found === undefined ? undefined : Number(found.slice(line.length + 1));
}

/** What a counter has counted since. */
async function counted(line: string, work: () => Promise<unknown>): Promise<number> {
  const before = (await valueOf(line)) ?? 0;
  await work();
  // A request counts when its answer has left, which the client may notice earlier.
  for (let turn = 0; turn < 100 && ((await valueOf(line)) ?? 0) === before; turn += 1)
    await new Promise((resolve) => setTimeout(resolve, 2));
  return ((await valueOf(line)) ?? 0) - before;
}

const expressOf = (): Express => app().nest.getHttpAdapter().getInstance();

/** The routes with the methods that are in use; `@All()` stands for thirty more. */
const routes = () =>
  expressOf().router.stack.flatMap(({ route }) =>
    typeof route?.path === 'string'
      ? Object.keys((route as unknown as { methods: object }).methods)
          .map((method) => method.toUpperCase())
          .filter((method) => ['GET', 'POST', 'PUT', 'DELETE'].includes(method))
          .map((method) => `${method} ${route.path}`)
      : [],
  );

describe('Metrics of requests', () => {
  it('show every route from the start, at zero', async () => {
    const all = await text();
    for (const route of routes()) {
      const [method, path] = route.split(' ');
      expect(all).toContain(`session_http_requests_total{method="${method}",route="${path}",status="200"} 0`);
    }
  });

  it('count by method, route and status, with a histogram of durations', async () => {
    const route = `method="GET",route="${V3}/account/whoami"`;
    const ask = () => app().http.get(`${V3}/account/whoami`).expect(401);
    expect(await counted(`session_http_requests_total{${route},status="401"}`, ask)).toBe(1);
    expect(await valueOf(`session_http_request_duration_seconds_count{${route}}`)).toBe(1);
    expect(await valueOf(`session_http_request_duration_seconds_bucket{le="+Inf",${route}}`)).toBe(1);
  });

  it('count what no route handles as one, whatever it was', async () => {
    const unknown = 'session_http_requests_total{method="OTHER",route="unknown",status="404"}';
    expect(await counted(unknown, () => app().http.propfind('/%F0%9F%8F%A0').expect(404))).toBe(1);
    expect(await text()).not.toContain('PROPFIND');
  });

  it('count logouts, logins and refreshes by result, each seen from the start', async () => {
    const all = await text();
    for (const { name, kinds } of OUTCOMES) {
      for (const kind of Object.values(kinds))
        for (const result of ['ok', 'refused', 'limited', 'failed'])
          expect(all).toContain(`${name}{kind="${kind}",result="${result}"} `);
      for (const route of Object.keys(kinds)) expect(routes()).toContain(route);
    }
    const { matrix } = app();
    const session = await matrix.register();
    const logouts = (result: string) => `session_logouts_total{kind="logout",result="${result}"}`;
    expect(await counted(logouts('ok'), () => matrix.logout(session).expect(200))).toBe(1);
    expect(await counted(logouts('refused'), () => matrix.logout(session).expect(401))).toBe(1);
    const login = { type: 'm.login.password', user: session.userId, password: `${PASSWORD}x` };
    const logins = 'session_logins_total{kind="login",result="refused"}';
    const tryIt = () => app().http.post(`${V3}/login`).send(login).expect(403);
    expect(await counted(logins, tryIt)).toBe(1);
    const refreshes = 'session_refreshes_total{kind="refresh",result="refused"}';
    expect(await counted(refreshes, () => matrix.refresh('mxr_none').expect(401))).toBe(1);
  });
});

describe('Metrics of sessions', () => {
  it('count the devices and keys that were deleted', async () => {
    const { matrix } = app();
    const session = await matrix.register();
    await matrix.uploadKeys(session, someKeys(session)).expect(200);
    const { otk, device } = {
      otk: 'session_keys_deleted_total{kind="one_time_keys"}',
      device: 'session_devices_deleted_total{reason="logout"}',
    };
    const [{ count }] = (await app().sql<{ count: number }>(
      'SELECT count(*)::int FROM one_time_keys WHERE user_id = $1',
      [session.userId],
    )) as [{ count: number }];
    const [devices, identities] = [
      await valueOf(device),
      await valueOf('session_keys_deleted_total{kind="device_keys"}'),
    ];
    expect(count).toBeGreaterThan(0);
    expect(await counted(otk, () => matrix.logout(session).expect(200))).toBe(count);
    expect(await valueOf(device)).toBe(devices! + 1);
    expect(await valueOf('session_keys_deleted_total{kind="device_keys"}')).toBe(identities! + 1);
  });

  it('count no device of a logout that was rolled back', async () => {
    const session = await app().matrix.register();
    const before = await valueOf('session_devices_deleted_total{reason="logout_all"}');
    const failure = app().fail(KeysDevicesListener, 'onDevicesDeleted');
    await app().matrix.logoutAll(session).expect(500);
    failure.restore();
    expect(await valueOf('session_devices_deleted_total{reason="logout_all"}')).toBe(before);
    expect(await valueOf('session_logouts_total{kind="logout_all",result="failed"}')).toBe(1);
  });

  it('show hashing, the pool, retries and the process', async () => {
    for (const line of [
      'session_password_hashes{state="active"}',
      'session_password_hashes{state="waiting"}',
      'session_database_transaction_retries_total{reason="conflict"}',
      'session_database_transaction_retries_total{reason="connection"}',
      'session_reconciler_problems_total{problem="events_stuck",outcome="found"}',
      'session_reconciler_problems_total{problem="access_tokens_without_device",outcome="repaired"}',
    ])
      expect([line, await valueOf(line)]).toEqual([line, 0]);
    expect(await valueOf('session_database_pool_size')).toBe(10);
    expect(await valueOf('process_resident_memory_bytes')).toBeGreaterThan(0);
  });

  it('have no label with a user, a token or an address', async () => {
    const session = await app().matrix.register();
    await app().matrix.logout(session).expect(200);
    const labels = [...(await text()).matchAll(/="([^"]*)"/g)].map(([, value]) => value!);
    expect(labels.length).toBeGreaterThan(100);
    for (const label of labels) expect(label).not.toMatch(/@|mx[a-z]_|127\.0\.0\.1|::1|localhost/);
  });
});

describe('Metrics of deliveries', () => {
  it('show the age of the oldest event that a subscriber has not received, and the attempts', async () => {
    await app()
      .matrix.logout(await app().matrix.register())
      .expect(200);
    await app().drain();
    app().clock.advance(60_000);
    const subscriber = 'subscriber="stubborn"';
    expect(await valueOf(`session_event_delivery_lag_seconds{${subscriber}}`)).toBeGreaterThanOrEqual(60);
    expect(await valueOf(`session_event_deliveries_pending{${subscriber}}`)).toBeGreaterThan(0);
    const attempts = (outcome: string) =>
      valueOf(`session_event_deliveries_total{${subscriber},outcome="${outcome}"}`);
    expect(await attempts('failed')).toBeGreaterThan(0);
    expect([await attempts('delivered'), await attempts('buried')]).toEqual([0, 0]);
  });
});
