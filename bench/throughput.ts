import type { Arena } from './arena.js';
import { median } from './report.js';
import type { Contestant } from './contestant.js';
import { type Call, load, type Measured } from './load.js';
import { LOGOUT } from './baselines/statements.js';
import { barePool } from './baselines/pool.js';
import type { Baseline, Scenario } from './scenarios.js';

/** Requests before the first round that counts: what is not compiled yet is not what is measured. */
const WARM_UP = 2_000;

/** A scenario against the service and its baseline, medians of interleaved rounds. */
export interface Comparison {
  readonly scenario: string;
  readonly connections: number;
  readonly baseline: Baseline;
  readonly service: Measured;
  readonly bare: Measured;
  /** Requests per second to those of the baseline; at one connection, median latency to that of the baseline. */
  readonly ratio: number;
  readonly goal: number;
}

/** Runs every scenario in rounds, the service and its baseline by turns, each on rows of its own. */
export async function compare(
  arena: Arena,
  scenarios: readonly Scenario[],
  { rounds, share }: { rounds: number; share: number },
): Promise<Comparison[]> {
  const service = await arena.service();
  const baselines = new Map<Baseline, Contestant>();
  for (const { baseline } of scenarios)
    if (!baselines.has(baseline)) baselines.set(baseline, await arena.baseline(baseline));
  const comparisons: Comparison[] = [];
  const warm = new Set<string>();
  for (const scenario of scenarios) {
    const requests = Math.ceil(scenario.requests * share);
    const contestants = [service, baselines.get(scenario.baseline)!];
    const runs = new Map<Contestant, Measured[]>(contestants.map((contestant) => [contestant, []]));
    const run = async (round: number, amount: number) => {
      const prepared = new Map<Contestant, Call[]>();
      for (const contestant of contestants)
        prepared.set(contestant, await scenario.prepare(arena.seed, amount));
      await arena.seed.settle();
      // Whoever goes first finds the caches cold.
      for (const contestant of round % 2 === 0 ? contestants : contestants.toReversed())
        runs.get(contestant)!.push(await load(contestant, prepared.get(contestant)!, scenario.connections));
    };
    if (!warm.has(scenario.name)) await run(0, Math.max(requests, WARM_UP * Math.max(share, 0.1)));
    warm.add(scenario.name);
    runs.forEach((measured) => measured.splice(0));
    for (let round = 0; round < rounds; round += 1) await run(round, requests);
    comparisons.push(
      toComparison(
        scenario,
        contestants.map((contestant) => runs.get(contestant)!),
      ),
    );
    console.log(lineOf(comparisons.at(-1)!));
  }
  for (const contestant of [service, ...baselines.values()]) await contestant.stop();
  return comparisons;
}

/** Logouts per second straight through `pg`, without HTTP: what the database itself can do with one statement each. */
export async function straight(arena: Arena, requests: number, rounds: number): Promise<number> {
  process.env['BENCH_DATABASE'] = JSON.stringify(arena.database);
  const pool = barePool();
  const results: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const sessions = await arena.seed.sessions(requests);
    await arena.seed.settle();
    const started = performance.now();
    const worker = async () => {
      for (let session = sessions.pop(); session !== undefined; session = sessions.pop())
        await pool.query({ ...LOGOUT, values: [session.userId, session.access.digest, Date.now() * 1_000] });
    };
    await Promise.all(Array.from({ length: 10 }, worker));
    results.push(requests / ((performance.now() - started) / 1_000));
  }
  await pool.end();
  const perSecond = median(results);
  console.log(`logout straight through pg, without HTTP: ${perSecond.toFixed(0)}/s`);
  return perSecond;
}

function toComparison(scenario: Scenario, [service, bare]: Measured[][]): Comparison {
  const [ours, theirs] = [medians(service!), medians(bare!)];
  const { name, connections, baseline, goal } = scenario;
  const ratio = connections === 1 ? ours.p50 / theirs.p50 : ours.perSecond / theirs.perSecond;
  return { scenario: name, connections, baseline, service: ours, bare: theirs, ratio, goal };
}

function medians(runs: readonly Measured[]): Measured {
  const of = (key: keyof Measured) => median(runs.map((run) => run[key]));
  return { perSecond: of('perSecond'), p50: of('p50'), p99: of('p99'), cpuUs: of('cpuUs') };
}

function lineOf({ scenario, connections, baseline, service, bare, ratio, goal }: Comparison): string {
  const reached = connections === 1 ? ratio <= goal : ratio >= goal;
  const side = ({ perSecond, p50, p99, cpuUs }: Measured) =>
    `${perSecond.toFixed(0)}/s p50 ${p50.toFixed(2)} p99 ${p99.toFixed(1)} cpu ${cpuUs.toFixed(0)}µs`;
  const measure = connections === 1 ? 'p50 x' : 'x';
  return `${scenario} @${connections}: ${side(service)} | ${baseline} ${side(bare)} | ${measure}${ratio.toFixed(2)} (${reached ? 'reached' : 'wanted'} ${goal})`;
}
