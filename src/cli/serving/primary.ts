import cluster, { type Address, type Worker } from 'node:cluster';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { isatty } from 'node:tty';
import type { Environment } from '../../config/environment.js';
import { EmbeddedPostgres } from '../../database/embedded/embedded-postgres.js';
import {
  listenTo,
  type ManagementAnswer,
  type ManagementRequest,
  managementServer,
} from '../../metrics/management.js';
import { PRIMARY_STOP_DEADLINE_MS } from './stop-deadline.js';
import type { Voice } from './voice.js';
import { listening, LOST, welcome } from './welcome.js';
import { WorkerManagement } from './worker-management.js';

/** If a worker has served this long, its end counts as an accident, and another takes its place at once. */
const PROVEN_MS = 10_000;
/** How long it takes otherwise; twice as long after each worker that did not start. */
const PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;
const LEVEL = '/log-level';

/**
 * Runs several processes that serve on one port, and replaces those that die. It owns what they share: the embedded
 * PostgreSQL, the port for operators, and the log level.
 */
export class Primary {
  private embedded: EmbeddedPostgres | null = null;
  private readonly management = new WorkerManagement();
  private managementServer: Server | null = null;
  private stopped: Promise<never> | undefined;
  private address: Address | null = null;
  private logLevel: string;

  constructor(
    private readonly environment: Environment,
    private readonly voice: Voice,
  ) {
    this.logLevel = environment.logLevel;
  }

  /** Resolves when all workers serve. */
  async start(): Promise<void> {
    const { databaseUrl, dataDir, metricsPort, workers } = this.environment;
    process.on('SIGUSR2', () => void this.toggleLogLevel());
    if (databaseUrl === null) {
      this.embedded = await EmbeddedPostgres.start({ dataDir });
      this.embedded.whenLost(() => {
        this.voice.warn(LOST);
        void this.stop(1);
      });
    }
    if (metricsPort !== null) {
      this.managementServer = managementServer((request) => this.manage(request), this.voice);
      await listenTo(this.managementServer, this.environment);
    }
    // Workers accept connections themselves. One that Node's primary hands out is never answered if its worker dies.
    cluster.schedulingPolicy = cluster.SCHED_NONE;
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
    for (const worker of workers) worker.process.kill('SIGTERM');
    const codes = (await Promise.all(ended)).map(([exitCode]) => exitCode as number | null);
    this.managementServer?.close();
    this.managementServer?.closeAllConnections();
    await this.embedded?.stop();
    process.exit(codes.every((one) => one === 0) ? code : 1);
  }

  /** Starts a worker. Rejects if it ends before it serves. */
  private async hire(): Promise<void> {
    if (this.stopped !== undefined) throw new WorkerFailed();
    const worker = cluster.fork();
    let servesSince = 0;
    await new Promise<void>((resolve, reject) => {
      worker.once('listening', () => {
        servesSince = Date.now();
        this.management.add(worker);
        if (this.logLevel !== this.environment.logLevel) void this.tellLogLevel(worker);
        resolve();
      });
      worker.once('exit', (exitCode, signal) => {
        if (servesSince === 0) return reject(new WorkerFailed());
        if (this.stopped !== undefined) return;
        this.management.countExit();
        this.voice.warn(
          `Worker ${worker.process.pid} has ended (${signal ?? exitCode}). Another takes its place`,
        );
        const isProven = Date.now() - servesSince >= PROVEN_MS;
        this.replace(isProven ? 0 : PAUSE_MS);
      });
    });
  }

  /** Tries until another worker serves: a database that is down now may answer later. */
  private replace(pauseMs: number): void {
    setTimeout(() => {
      if (this.stopped !== undefined) return;
      this.hire().catch(() => {
        const next = Math.min(Math.max(2 * pauseMs, PAUSE_MS), LONGEST_PAUSE_MS);
        this.voice.warn(`A worker could not start. The next attempt is in ${next / 1_000} s`);
        this.replace(next);
      });
    }, pauseMs);
  }

  private async manage(request: ManagementRequest): Promise<ManagementAnswer> {
    const answer = await this.management.answer(request);
    if (request.method === 'PUT' && request.path === LEVEL && answer.status === 200)
      this.logLevel = (request.body as { level: string }).level;
    return answer;
  }

  private async toggleLogLevel(): Promise<void> {
    const { logLevel } = this.environment;
    this.logLevel = this.logLevel === logLevel ? 'debug' : logLevel;
    await this.management.answer({ method: 'PUT', path: LEVEL, body: { level: this.logLevel } });
  }

  private async tellLogLevel(worker: Worker): Promise<void> {
    await this.management.ask(worker, { method: 'PUT', path: LEVEL, body: { level: this.logLevel } });
  }
}

/** A worker has said already why it cannot start. */
export class WorkerFailed extends Error {}
