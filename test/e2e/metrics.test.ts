import { describe, expect, it } from 'vitest';
import { type Attempt, RateLimiter } from '../../src/index.js';
import { Metrics } from '../../src/metrics/metrics.js';
import { PASSWORD, V3 } from '../../src/testing/matrix-client.js';
import { useApp } from '../support/test-app.js';

const app = useApp({
  variables: {
    METRICS_PORT: '0',
    RATE_LIMITS: 'on',
    RATE_LIMIT_REFRESH: '1/1m',
    RATE_LIMIT_KEYS_CLAIMED: '1/1h',
    RATE_LIMIT_LOGIN_FAILED_ACCOUNT: '1/1h',
    RATE_LIMIT_LOGIN_FAILED_ADDRESS: '1/1h',
    DEVICES_PER_USER: '1',
    LIMIT_BODY: '2KiB',
    LIMIT_KEY: '512B',
  },
});

/** Returns the value of one metric, or `undefined` if there is no such line. */
async function valueOf(line: string): Promise<number | undefined> {
  const text = await app().nest.get(Metrics).text();
  const found = text.split('\n').find((one) => one.startsWith(`${line} `));
  return found === undefined ? undefined : Number(found.slice(line.length + 1));
}

describe('Metrics', () => {
  it('count the refusals of each rate limit, starting at zero', async () => {
    const refusals = (limit: string) => valueOf(`session_rate_limit_refusals_total{limit="${limit}"}`);
    expect([await refusals('refresh'), await refusals('keys_claimed')]).toEqual([0, 0]);
    await app().matrix.refresh('mxr_none').expect(401);
    await app().matrix.refresh('mxr_none').expect(429);
    expect([await refusals('refresh'), await refusals('challenge')]).toEqual([1, 0]);
  });

  it('count a refusal for the address if the limit of the account is exceeded as well', async () => {
    const limiter = app().nest.get(RateLimiter);
    const refusals = (limit: string) => valueOf(`session_rate_limit_refusals_total{limit="${limit}"}`);
    const attempts: Attempt[] = [
      ['login_failed_account', '@alice:localhost'],
      ['login_failed_address', '192.0.2.1'],
    ];
    await limiter.countAll(attempts);
    await expect(limiter.countAll(attempts)).rejects.toThrow('Too many requests');
    expect([await refusals('login_failed_address'), await refusals('login_failed_account')]).toEqual([1, 0]);
  });

  it('count refusals because of a limit, by the variable that sets it', async () => {
    const refusals = (variable: string) => valueOf(`session_limit_refusals_total{variable="${variable}"}`);
    const variables = ['DEVICES_PER_USER', 'LIMIT_BODY', 'LIMIT_KEY'];
    for (const variable of variables) expect([variable, await refusals(variable)]).toEqual([variable, 0]);
    const { matrix } = app();
    const session = await matrix.register();
    await app()
      .http.post(`${V3}/login`)
      .send({ type: 'm.login.password', user: session.userId, password: PASSWORD })
      .expect(403);
    const upload = (length: number) =>
      matrix.call(session, 'post', '/keys/upload').send({ one_time_keys: { 'a:b': 'x'.repeat(length) } });
    await upload(600).expect(400);
    await upload(3_000).expect(413);
    for (const variable of variables) expect([variable, await refusals(variable)]).toEqual([variable, 1]);
  });

  it('count shared calls and the items that share them', async () => {
    const counted = async () => [
      await valueOf('session_database_shared_calls_total{kind="logout"}'),
      await valueOf('session_database_shared_items_total{kind="logout"}'),
      await valueOf('session_database_shared_retries_total{kind="logout"}'),
    ];
    expect(await counted()).toEqual([0, 0, 0]);
    await app()
      .matrix.logout(await app().matrix.register())
      .expect(200);
    expect(await counted()).toEqual([1, 1, 0]);
  });

  it('show the connections of the pool, and the number of waiting requests', async () => {
    expect(await valueOf('session_database_connections{state="idle"}')).toBeGreaterThan(0);
    for (const kind of ['transactions', 'look-ups', 'patient', 'logout', 'access_tokens'])
      expect([kind, await valueOf(`session_database_waiting{kind="${kind}"}`)]).toEqual([kind, 0]);
  });
});
