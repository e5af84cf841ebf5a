import cluster, { type Address } from 'node:cluster';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { isatty } from 'node:tty';
import type { Environment } from '../../config/environment.js';
import { EmbeddedPostgres } from '../../database/embedded/embedded-postgres.js';
import { managementServer } from '../../metrics/management.js';
import { PRIMARY_STOP_DEADLINE_MS } from './stop-deadline.js';
import type { Voice } from './voice.js';
import { listening, welcome } from './welcome.js';
import { WorkerManagement } from './worker-management.js';

/** If a worker has served this long, its end counts as an accident, and another takes its place at once. */
const PROVEN_MS = 10_000;
/** How long it takes until the place of another one is taken. */
const PAUSE_MS = 1_000;

/**
 * Runs several processes that serve on one port, and replaces those that die. It owns what they share: the embedded
 * PostgreSQL and the port for operators.
 */
export class Primary {
  private embedded: EmbeddedPostgres | null = null;
  private readonly management = new WorkerManagement();
  private managementServer: Server | null = null;
  private stopped: Promise<never> | undefined;
  private address: Address | null = null;

  constructor(
    private readonly environment: Environment,
    private readonly voice: Voice,
  ) {}

  /** Resolves when all workers serve. */
  async start(): Promise<void> {
    const { databaseUrl, dataDir, metricsPort, metricsHost, workers } = this.environment;
    if (databaseUrl === null) this.embedded = await EmbeddedPostgres.start({ dataDir });
    if (metricsPort !== null) {
      this.managementServer = managementServer((request) => this.management.answer(request), this.voice);
      this.managementServer.listen(metricsPort, metricsHost);
      await once(this.managementServer, 'listening');
    }
    // Workers accept connections themselves. One that Node's primary hands out is never answered if its worker dies.
    cluster.schedulingPolicy = cluster.SCHED_NONE;
    process.on('SIGUSR2', () => this.signal('SIGUSR2'));
    cluster.on('listening', (_, address) => (this.address ??= address));
    // One first: it brings the schema up to date, and if it cannot start, no other can.
    await this.hire();
    await Promise.all(Array.from({ length: workers - 1 }, () => this.hire()));
    const { port } = this.address!;
    const url = `http://${this.environment.host}:${port}`;
    this.voice.say(
      welcome(this.environment, url, this.embedded, isatty(1)),
      `${listening(this.environment, url)} with ${workers} workers`,
    );
  }

  /** Stops the workers, then the embedded server. Ends the process at the deadline in any case. */
  stop(code: number): Promise<never> {
    return (this.stopped ??= this.stopParts(code));
  }

  private async stopParts(code: number): Promise<never> {
    setTimeout(() => process.exit(1), PRIMARY_STOP_DEADLINE_MS + this.environment.shutdownDelayMs).unref();
    const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined);
    const ended = workers.map((worker) => once(worker.process, 'exit'));
    this.signal('SIGTERM');
    const codes = (await Promise.all(ended)).map(([exitCode]) => exitCode as number | null);
    this.managementServer?.close();
    this.managementServer?.closeAllConnections();
    await this.embedded?.stop();
    process.exit(codes.every((one) => one === 0) ? code : 1);
  }

  /** Starts a worker. Rejects if it ends before it serves. */
  private async hire(): Promise<void> {
    const worker = cluster.fork();
    let servesSince = 0;
    await new Promise<void>((resolve, reject) => {
      worker.once('listening', () => {
        servesSince = Date.now();
        this.management.add(worker);
        resolve();
      });
      worker.once('exit', (exitCode, signal) => {
        if (servesSince === 0) return reject(new WorkerFailed());
        if (this.stopped !== undefined) return;
        this.voice.warn(
          `Worker ${worker.process.pid} has ended (${signal ?? exitCode}). Another takes its place`,
        );
        this.replace(Date.now() - servesSince < PROVEN_MS ? PAUSE_MS : 0);
      });
    });
  }

  /** Tries until another worker serves: a database that is down now may answer later. */
  private replace(pauseMs: number): void {
    setTimeout(() => {
      if (this.stopped !== undefined) return;
      this.hire().catch(() => this.replace(PAUSE_MS));
    }, pauseMs);
  }

  private signal(signal: NodeJS.Signals): void {
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill(signal);
  }
}

/** A worker has said already why it cannot start. */
export class WorkerFailed extends Error {}
