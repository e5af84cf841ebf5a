import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { Environment, EnvironmentError } from '../config/environment.js';
import { Metrics } from './metrics.js';

/** Serves `GET /metrics` on a separate port that clients cannot reach. Without `METRICS_PORT` it does nothing. */
@Injectable()
export class MetricsServer implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger(MetricsServer.name);
  private server: Server | undefined;

  constructor(
    private readonly metrics: Metrics,
    private readonly environment: Environment,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    const { metricsHost, metricsPort } = this.environment;
    if (metricsPort === null) return;
    this.server = createServer((request, response) => {
      if (request.method !== 'GET' || request.url?.split('?')[0] !== '/metrics') {
        response.writeHead(404).end();
        return;
      }
      this.metrics.text().then(
        (text) => response.setHeader('Content-Type', this.metrics.contentType).end(text),
        (error: unknown) => {
          this.logger.warn(`The metrics could not be read: ${String(error)}`);
          response.writeHead(503).end();
        },
      );
    }).listen(metricsPort, metricsHost);
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
}
