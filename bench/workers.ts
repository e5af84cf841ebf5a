import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Arena } from './arena.js';
import { load } from './load.js';
import { median } from './report.js';
import type { Scenario } from './scenarios.js';
import { SERVER_NAME } from './seed.js';
import { answers, freePort, MAIN } from './start.js';

/** Requests per second with several workers, and those to one. */
export interface Workers {
  readonly scenario: string;
  readonly workers: number;
  readonly perSecond: number;
  readonly ratio: number;
}

const WARM_UP = 1_000;

/** Runs scenarios against one worker and several, as an operator starts them, by turns. */
export async function workers(
  arena: Arena,
  scenarios: readonly Scenario[],
  { counts, rounds, share }: { counts: readonly number[]; rounds: number; share: number },
): Promise<Workers[]> {
  const results: Workers[] = [];
  const servers = await Promise.all(counts.map((count) => Server.start(arena, count)));
  for (const scenario of scenarios) {
    const { name, requests, connections } = scenario;
    const amount = Math.ceil(requests * share);
    const runs = new Map<Server, number[]>(servers.map((server) => [server, []]));
    for (let round = -1; round < rounds; round += 1)
      for (const server of round % 2 === 0 ? servers : servers.toReversed()) {
        const calls = await scenario.prepare(arena.seed, round < 0 ? WARM_UP : amount);
        await arena.seed.settle();
        const { perSecond } = await load(server, calls, connections);
        if (round >= 0) runs.get(server)!.push(perSecond);
      }
    const alone = median(runs.get(servers[0]!)!);
    for (const server of servers) {
      const perSecond = median(runs.get(server)!);
      const result = { scenario: name, workers: server.count, perSecond, ratio: perSecond / alone };
      results.push(result);
      console.log(
        `${name} @${connections} with ${server.count} workers: ${perSecond.toFixed(0)}/s | x${result.ratio.toFixed(2)}`,
      );
    }
  }
  for (const server of servers) await server.stop();
  return results;
}

/** The built service, in as many processes. */
class Server {
  static async start(arena: Arena, count: number): Promise<Server> {
    const port = await freePort();
    const child = spawn(process.execPath, [MAIN], {
      env: {
        ...process.env,
        DATABASE_URL: arena.url,
        SERVER_NAME,
        RATE_LIMITS: 'off',
        LOG_LEVEL: 'error',
        PORT: String(port),
        WORKERS: String(count),
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    // It says so when all of its workers serve.
    await once(child.stdout, 'data');
    if (!(await answers(port))) throw new Error('The service did not start');
    return new Server(count, `http://127.0.0.1:${port}`, child);
  }

  readonly name = 'service';

  private constructor(
    readonly count: number,
    readonly url: string,
    private readonly child: ReturnType<typeof spawn>,
  ) {}

  /** What its processes use is not measured. */
  async usage(): Promise<{ cpuUs: number }> {
    return { cpuUs: 0 };
  }

  async stop(): Promise<void> {
    this.child.kill('SIGTERM');
    await once(this.child, 'exit');
  }
}
