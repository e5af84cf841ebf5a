import { Client } from 'pg';
import { PARAMETERS } from './baselines/pool.js';
import type { Arena } from './arena.js';
import { LOGOUT_ALL } from './baselines/statements.js';
import { load } from './load.js';
import { median } from './report.js';
import { CLIENT_V3 } from './scenarios.js';
import { clientOptions } from '../src/testing/test-postgres.js';
import type { SeededSession } from './seed.js';

const WARM_UP = 10;

/** `/logout/all` of one user, and the bare SQL for it, straight through `pg` without HTTP. */
export interface ManyDevices {
  readonly devices: number;
  /** Medians, in milliseconds. */
  readonly serviceMs: number;
  readonly bareMs: number;
  /** Service to bare. */
  readonly ratio: number;
  /** SQL statements of the request: its look-up, BEGIN and COMMIT included. */
  readonly statements: number;
}

/** How `/logout/all` grows with the devices of the user, each of which has 50 one-time keys. */
export async function manyDevices(
  arena: Arena,
  sizes: readonly number[],
  rounds: number,
): Promise<ManyDevices[]> {
  // Nothing but the requests asks the database anything meanwhile.
  const service = await arena.service({ EVENT_POLL_INTERVAL: '1h' });
  const bare = new Client({ ...clientOptions(arena.database), options: PARAMETERS });
  await bare.connect();
  const ours = async (sessions: readonly SeededSession[]) => {
    const calls = sessions.map(({ access }) => ({
      method: 'POST' as const,
      path: `${CLIENT_V3}/logout/all`,
      token: access.token,
    }));
    return (await load(service, calls, 1)).p50;
  };
  const theirs = async (sessions: readonly SeededSession[]) => {
    const times: number[] = [];
    for (const { userId, access } of sessions) {
      const started = performance.now();
      await bare.query({ ...LOGOUT_ALL, values: [userId, access.digest, Date.now() * 1_000] });
      times.push(performance.now() - started);
    }
    return median(times);
  };
  const results: ManyDevices[] = [];
  for (const devices of sizes) {
    // What is small is soon repeated, and one of it says little.
    const repeats = devices <= 100 ? 20 : 1;
    const seed = async () => {
      const sessions: SeededSession[] = [];
      for (let nth = 0; nth < repeats; nth += 1) sessions.push(await arena.seed.manyDevices(devices));
      return sessions;
    };
    const times = { service: [] as number[], bare: [] as number[], statements: [] as number[] };
    for (let round = -1; round < rounds; round += 1) {
      const [mine, others] = [await seed(), await seed()];
      const warmUp = [await arena.seed.sessions(WARM_UP), await arena.seed.sessions(WARM_UP)] as const;
      await arena.seed.settle();
      // Settling has thrown the plans away, which is not what is measured.
      await ours(warmUp[0]);
      await theirs(warmUp[1]);
      const before = (await service.usage()).statements;
      const measured = { service: 0, bare: 0 };
      const run = {
        service: async () => (measured.service = await ours(mine)),
        bare: async () => (measured.bare = await theirs(others)),
      };
      for (const who of round % 2 === 0 ? (['service', 'bare'] as const) : (['bare', 'service'] as const))
        await run[who]();
      if (round < 0) continue;
      times.service.push(measured.service);
      times.bare.push(measured.bare);
      times.statements.push(((await service.usage()).statements - before) / repeats);
    }
    const [serviceMs, bareMs] = [median(times.service), median(times.bare)];
    const ratio = serviceMs / bareMs;
    const result = { devices, serviceMs, bareMs, ratio, statements: median(times.statements) };
    results.push(result);
    console.log(
      `logout/all of ${devices}: ${serviceMs.toFixed(1)} ms, ${result.statements} statements | bare SQL ${bareMs.toFixed(1)} ms | ` +
        `x${ratio.toFixed(2)} (${ratio <= 1.3 ? 'reached' : 'wanted'} 1.3)`,
    );
  }
  await bare.end();
  await service.stop();
  return results;
}
