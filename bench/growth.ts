import { Arena } from './arena.js';
import type { Contestant } from './contestant.js';
import { load } from './load.js';
import { median } from './report.js';
import type { Scenario } from './scenarios.js';

/** Median latency of one request at a time, in tables of so many devices. */
export interface Growth {
  readonly scenario: string;
  readonly devices: number;
  readonly p50: number;
  /** To the smallest tables. */
  readonly ratio: number;
}

const REQUESTS = 200;

/** Every scenario in databases of different sizes, which take turns so that a slow minute hits them all. */
export async function growth(
  arena: Arena,
  scenarios: readonly Scenario[],
  sizes: readonly number[],
  rounds: number,
): Promise<Growth[]> {
  const databases: { devices: number; arena: Arena; service: Contestant }[] = [];
  for (const devices of sizes) {
    const crowded = await arena.neighbour();
    await crowded.seed.crowd(devices);
    databases.push({ devices, arena: crowded, service: await crowded.service() });
  }
  const results: Growth[] = [];
  for (const scenario of scenarios) {
    const latencies = new Map<number, number[]>(sizes.map((devices) => [devices, []]));
    for (let round = -1; round < rounds; round += 1) {
      for (const { devices, arena: crowded, service } of round % 2 === 0
        ? databases
        : databases.toReversed()) {
        const calls = await scenario.prepare(crowded.seed, REQUESTS);
        await crowded.seed.settle();
        const { p50 } = await load(service, calls, 1);
        if (round >= 0) latencies.get(devices)!.push(p50);
      }
    }
    const smallest = median(latencies.get(sizes[0]!)!);
    for (const devices of sizes) {
      const p50 = median(latencies.get(devices)!);
      const result = { scenario: scenario.name, devices, p50, ratio: p50 / smallest };
      results.push(result);
      console.log(
        `${result.scenario} among ${devices} devices: p50 ${p50.toFixed(2)} ms, x${result.ratio.toFixed(2)} (${result.ratio <= 1.2 ? 'reached' : 'wanted'} 1.2)`,
      );
    }
  }
  for (const { arena: crowded, service } of databases.toReversed()) {
    await service.stop();
    await crowded.close();
  }
  return results;
}
