import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import {
  jsonAnswer,
  listenTo,
  type ManagementAnswer,
  type ManagementRequest,
  managementServer,
  NO_SUCH_PATH,
} from './management.js';
import { Metrics } from './metrics.js';
import { isQuestion, type Question, type Reply, WORKER_EXITS } from './worker-channel.js';

/** What a path of that port answers, as JSON. */
export interface Answer {
  readonly status: number;
  readonly body: object;
}

/** @param body the JSON of a PUT; `undefined` if it is none */
type Answering = (body: unknown) => Promise<Answer>;

/**
 * Serves `GET /metrics`, and what else is for operators, on a separate port that clients cannot reach. Without
 * `METRICS_PORT` it does nothing.
 */
@Injectable()
export class MetricsServer implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger(MetricsServer.name);
  private readonly paths = new Map<string, Answering>();
  private server: Server | undefined;
  private hasPrimary = false;
  private readonly whenAsked = (message: unknown): void => {
    if (isQuestion(message)) void this.reply(message);
  };

  constructor(
    private readonly metrics: Metrics,
    private readonly environment: Environment,
  ) {
    metrics.addGauge({ name: 'session_workers', help: 'Processes that serve.' }, async () => [
      { labels: {}, value: 1 },
    ]);
    metrics.addCounter(WORKER_EXITS);
    metrics.count(WORKER_EXITS.name, {}, 0);
  }

  /** Adds a path. */
  add(method: 'GET' | 'PUT', path: string, answer: Answering): void {
    this.paths.set(`${method} ${path}`, answer);
  }

  /** Leaves the port to the process that has forked this one, and answers its questions. Call it before the start. */
  leaveToPrimary(): void {
    this.hasPrimary = true;
    process.on('message', this.whenAsked);
  }

  async onApplicationBootstrap(): Promise<void> {
    if (this.environment.metricsPort === null || this.hasPrimary) return;
    this.server = managementServer((request) => this.answer(request), this.logger);
    await listenTo(this.server, this.environment);
  }

  /** The port; `null` until the server listens. */
  get port(): number | null {
    return (this.server?.address() as AddressInfo | null | undefined)?.port ?? null;
  }

  onApplicationShutdown(): void {
    process.off('message', this.whenAsked);
    this.server?.close();
    this.server?.closeAllConnections();
  }

  private async answer({ method, path, body: given }: ManagementRequest): Promise<ManagementAnswer> {
    if (method === 'GET' && path === '/metrics')
      return { status: 200, contentType: this.metrics.contentType, text: await this.metrics.text() };
    const known = this.paths.get(`${method} ${path}`);
    if (known === undefined) return NO_SUCH_PATH;
    const { status, body } = await known(given);
    return jsonAnswer(status, body);
  }

  private async reply({ question, asked }: Question): Promise<void> {
    const asking = asked === 'metrics' ? this.metrics.values() : this.answer(asked);
    const answer = await asking.catch((error: unknown) => {
      this.logger.warn(`The primary got no answer: ${String(error)}`);
      return null;
    });
    process.send?.({ reply: question, answer } satisfies Reply);
  }
}
