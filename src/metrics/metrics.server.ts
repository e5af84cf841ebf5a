import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { Environment, EnvironmentError } from '../config/environment.js';
import { Metrics } from './metrics.js';

/** What a path of that port answers, as JSON. */
export interface Answer {
  readonly status: number;
  readonly body: object;
}

/** @param body the JSON of a PUT; `undefined` if it is none */
type Answering = (body: unknown) => Promise<Answer>;

/** Longer bodies are none that belong here. */
const LONGEST_BODY = 10_000;

/**
 * Serves `GET /metrics`, and what else is for operators, on a separate port that clients cannot reach. Without
 * `METRICS_PORT` it does nothing.
 */
@Injectable()
export class MetricsServer implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger(MetricsServer.name);
  private readonly paths = new Map<string, Answering>();
  private server: Server | undefined;

  constructor(
    private readonly metrics: Metrics,
    private readonly environment: Environment,
  ) {}

  /** Adds a path. */
  add(method: 'GET' | 'PUT', path: string, answer: Answering): void {
    this.paths.set(`${method} ${path}`, answer);
  }

  async onApplicationBootstrap(): Promise<void> {
    const { metricsHost, metricsPort } = this.environment;
    if (metricsPort === null) return;
    this.server = createServer((request, response) => void this.answer(request, response)).listen(
      metricsPort,
      metricsHost,
    );
    await once(this.server, 'listening').catch((error: Error) => {
      throw new EnvironmentError([
        `METRICS_HOST and METRICS_PORT must be free to listen on: ${error.message}`,
      ]);
    });
  }

  /** The port; `null` until the server listens. */
  get port(): number | null {
    return (this.server?.address() as AddressInfo | null | undefined)?.port ?? null;
  }

  onApplicationShutdown(): void {
    this.server?.close();
    this.server?.closeAllConnections();
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, url = '' } = request;
    const [path = ''] = url.split('?');
    try {
      const known = this.paths.get(`${method} ${path}`);
      if (method === 'GET' && path === '/metrics') {
        response.setHeader('Content-Type', this.metrics.contentType).end(await this.metrics.text());
      } else if (known === undefined) {
        response.writeHead(404).end();
      } else {
        const { status, body } = await known(method === 'PUT' ? await jsonOf(request) : undefined);
        response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
      }
    } catch (error) {
      this.logger.warn(`${path} could not be answered: ${String(error)}`);
      response.writeHead(503).end();
    }
  }
}

async function jsonOf(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += String(chunk);
    if (text.length > LONGEST_BODY) return undefined;
  }
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
