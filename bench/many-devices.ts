import { Client } from 'pg';
import { SETTINGS } from '../src/database/data-source.js';
import type { Arena } from './arena.js';
import { LOGOUT_ALL } from './baselines/statements.js';
import { load } from './load.js';
import { median } from './report.js';
import { CLIENT_V3 } from './scenarios.js';
import { clientOptions } from '../src/testing/test-postgres.js';

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
  const service = await arena.service();
  const bare = new Client({ ...clientOptions(arena.database), options: SETTINGS });
  await bare.connect();
  const results: ManyDevices[] = [];
  for (const devices of sizes) {
    const [ours, theirs, statements] = [[], [], []] as [number[], number[], number[]];
    // What is small is soon repeated, and one round of it says little.
    const runs = devices < 100 ? rounds * 2 : rounds;
    for (let round = -1; round < runs; round += 1) {
      const mine = async () => {
        const session = await arena.seed.manyDevices(devices);
        await arena.seed.settle();
        const before = (await service.usage()).statements;
        const call = {
          method: 'POST',
          path: `${CLIENT_V3}/logout/all`,
          token: session.access.token,
        } as const;
        const { p50 } = await load(service, [call], 1);
        if (round >= 0) ours.push(p50);
        if (round >= 0) statements.push((await service.usage()).statements - before);
      };
      const straight = async () => {
        const session = await arena.seed.manyDevices(devices);
        await arena.seed.settle();
        const started = performance.now();
        await bare.query({
          ...LOGOUT_ALL,
          values: [session.userId, session.access.digest, Date.now() * 1_000],
        });
        if (round >= 0) theirs.push(performance.now() - started);
      };
      for (const run of round % 2 === 0 ? [mine, straight] : [straight, mine]) await run();
    }
    const [serviceMs, bareMs] = [median(ours), median(theirs)];
    const result = { devices, serviceMs, bareMs, ratio: serviceMs / bareMs, statements: median(statements) };
    results.push(result);
    console.log(
      `logout/all of ${devices}: ${serviceMs.toFixed(1)} ms, ${result.statements} statements | bare SQL ${bareMs.toFixed(1)} ms | ` +
        `x${result.ratio.toFixed(2)} (${result.ratio <= 1.3 ? 'reached' : 'wanted'} 1.3)`,
    );
  }
  await bare.end();
  await service.stop();
  return results;
}
