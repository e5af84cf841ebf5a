import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { Environment } from '../config/environment.js';
import { MatrixExpressAdapter } from './http.js';
import { Shutdown } from './shutdown.js';

/** Shorter than container runtimes wait before they kill a process. */
const LIMIT_MS = 8_000;

/**
 * Lets open requests end before anything else stops. This hook runs before the hooks in which other modules write
 * their pending data, so no request can add more data after that.
 */
@Injectable()
export class HttpDrain implements OnModuleDestroy {
  private readonly logger = new Logger(HttpDrain.name);

  constructor(
    private readonly host: HttpAdapterHost,
    private readonly environment: Environment,
    private readonly shutdown: Shutdown,
  ) {}

  async onModuleDestroy(): Promise<void> {
    this.shutdown.begin();
    // Meanwhile load balancers learn from /health/ready that this node wants no more requests.
    await sleep(this.environment.shutdownDelayMs);
    const { httpAdapter } = this.host;
    if (httpAdapter instanceof MatrixExpressAdapter && (await httpAdapter.stop(LIMIT_MS)))
      this.logger.warn(`Requests took longer than ${LIMIT_MS} ms to end, and were cut`);
  }
}
