import { Global, Module } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import { Metrics } from './metrics.js';
import { MetricsServer } from './metrics.server.js';

/** The library takes its time and its megabytes, so it comes only where somebody reads the metrics. */
async function load({ metricsPort }: Environment): Promise<Metrics> {
  return new Metrics(metricsPort === null ? null : await import('prom-client'));
}

@Global()
@Module({
  providers: [{ provide: Metrics, inject: [Environment], useFactory: load }, MetricsServer],
  exports: [Metrics],
})
export class MetricsModule {}
