import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { DatabaseLocation } from '../src/database/data-source.js';

/** What a server tells the benchmark. */
interface Told {
  readonly port?: number;
  /** CPU time of the process in microseconds. */
  readonly cpu?: number;
  /** Resident memory in bytes. */
  readonly rss?: number;
}

/** In the process of a server: tells where it listens, and what it has used whenever it is asked. */
export function serve(address: string | AddressInfo | null): void {
  const usage = () => {
    const { user, system } = process.cpuUsage();
    process.send!({ cpu: user + system, rss: process.memoryUsage.rss() });
  };
  process.on('message', usage);
  process.on('disconnect', () => process.exit());
  process.send!({ port: (address as AddressInfo).port });
}

/** A server in a process of its own. */
export class Contestant {
  /** @param file the server, beside this file */
  static async start(
    name: string,
    file: string,
    database: DatabaseLocation,
    environment: Record<string, string> = {},
  ): Promise<Contestant> {
    // With BENCH_PROFILE, the server leaves a CPU profile behind when it stops.
    const profile = process.env['BENCH_PROFILE'];
    const execArgv = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
    const child = fork(new URL(file, import.meta.url), {
      execArgv,
      env: { ...process.env, ...environment, BENCH_DATABASE: JSON.stringify(database) },
    });
    const [{ port }] = (await once(child, 'message')) as [Told];
    return new Contestant(name, child, `http://127.0.0.1:${port}`);
  }

  private constructor(
    readonly name: string,
    private readonly child: ChildProcess,
    readonly url: string,
  ) {}

  get pid(): number {
    return this.child.pid!;
  }

  async usage(): Promise<{ cpuUs: number; rss: number }> {
    this.child.send('usage');
    const [{ cpu, rss }] = (await once(this.child, 'message')) as [Told];
    return { cpuUs: cpu!, rss: rss! };
  }

  async stop(): Promise<void> {
    this.child.disconnect();
    await once(this.child, 'exit');
  }
}
