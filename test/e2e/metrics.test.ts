import { describe, expect, it } from 'vitest';
import { Metrics } from '../../src/metrics/metrics.js';
import { useApp } from '../support/test-app.js';

const app = useApp({
  variables: {
    METRICS_PORT: '0',
    RATE_LIMITS: 'on',
    RATE_LIMIT_REFRESH: '1/1m',
    RATE_LIMIT_KEYS_CLAIMED: '1/1h',
  },
});

/** The value of one metric; `undefined`: there is no such line. */
async function valueOf(line: string): Promise<number | undefined> {
  const text = await app().nest.get(Metrics).text();
  const found = text.split('\n').find((one) => one.startsWith(`${line} `));
  return found === undefined ? undefined : Number(found.slice(line.length + 1));
}

describe('Metrics', () => {
  it('count what a rate limit refuses, from zero', async () => {
    const refusals = (limit: string) => valueOf(`session_rate_limit_refusals_total{limit="${limit}"}`);
    expect([await refusals('refresh'), await refusals('keys_claimed')]).toEqual([0, 0]);
    await app().matrix.refresh('mxr_none').expect(401);
    await app().matrix.refresh('mxr_none').expect(429);
    expect([await refusals('refresh'), await refusals('challenge')]).toEqual([1, 0]);
  });

  it('count shared work, and those that share it', async () => {
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

  it('show the connections of the pool, and what waits for one', async () => {
    expect(await valueOf('session_database_connections{state="idle"}')).toBeGreaterThan(0);
    for (const kind of ['transactions', 'look-ups', 'patient', 'logout', 'access_tokens'])
      expect([kind, await valueOf(`session_database_waiting{kind="${kind}"}`)]).toEqual([kind, 0]);
  });
});
