import { type DynamicModule, Module } from '@nestjs/common';
import { LogLevel } from './log-level.js';
import { RequestLog } from './request-log.js';
import { RequestTraces } from './request-traces.js';
import { RequestMetrics } from './request-metrics.js';
import { ServiceLogger } from './service-logger.js';

/** What is counted, logged and traced of requests. */
@Module({ providers: [RequestMetrics, RequestTraces, RequestLog] })
export class ObservabilityModule {}

/** Control of the service's own log. An application of a team has a logger of its own. */
@Module({})
export class LogModule {
  static of(logger: ServiceLogger): DynamicModule {
    return { module: LogModule, providers: [{ provide: ServiceLogger, useValue: logger }, LogLevel] };
  }
}
