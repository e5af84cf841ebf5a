import { Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { MatrixExpressAdapter } from './http.js';

/** Shorter than container runtimes wait before they kill. */
const LIMIT_MS = 8_000;

/**
 * Lets requests end before anything else does: this hook runs before those in which other rooms write down what
 * they still have, so that nothing comes in behind them.
 */
@Injectable()
export class HttpDrain implements OnModuleDestroy {
  private readonly logger = new Logger(HttpDrain.name);

  constructor(private readonly host: HttpAdapterHost) {}

  async onModuleDestroy(): Promise<void> {
    const { httpAdapter } = this.host;
    if (httpAdapter instanceof MatrixExpressAdapter && (await httpAdapter.stop(LIMIT_MS)))
      this.logger.warn(`Requests took longer than ${LIMIT_MS} ms to end, and were cut`);
  }
}
