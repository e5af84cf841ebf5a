import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Client } from 'pg';
import type { DatabaseLocation } from '../src/database/data-source.js';

/** What a server tells the benchmark. */
interface Told {
  readonly port?: number;
  /** CPU time of the process in microseconds. */
  readonly cpu?: number;
  /** Resident memory in bytes. */
  readonly rss?: number;
  /** SQL statements that were sent so far, BEGIN and COMMIT included. */
  readonly statements?: number;
}

/** In the process of a server: tells where it listens, and what it has used whenever it is asked. */
export function serve(address: string | AddressInfo | null): void {
  const sent = countStatements();
  const usage = () => {
    const { user, system } = process.cpuUsage();
    process.send!({ cpu: user + system, rss: process.memoryUsage.rss(), statements: sent() });
  };
  process.on('message', usage);
  process.on('disconnect', () => process.exit());
  process.send!({ port: (address as AddressInfo).port });
}

function countStatements(): () => number {
  let statements = 0;
  const prototype = Client.prototype as unknown as { query: (this: unknown, ...args: unknown[]) => unknown };
  const { query } = prototype;
  prototype.query = function counted(...args) {
    statements += 1;
    return query.apply(this, args);
  };
  return () => statements;
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

  async usage(): Promise<{ cpuUs: number; rss: number; statements: number }> {
    this.child.send('usage');
    const [{ cpu, rss, statements }] = (await once(this.child, 'message')) as [Told];
    return { cpuUs: cpu!, rss: rss!, statements: statements! };
  }

  async stop(): Promise<void> {
    this.child.disconnect();
    await once(this.child, 'exit');
  }
}
