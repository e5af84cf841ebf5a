import { Global, Module } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import { Metrics } from './metrics.js';
import { MetricsServer } from './metrics.server.js';

/** Loads the library only if metrics are served, because it costs time and memory. */
async function load({ metricsPort }: Environment): Promise<Metrics> {
  return new Metrics(metricsPort === null ? null : await import('prom-client'));
}

@Global()
@Module({
  providers: [{ provide: Metrics, inject: [Environment], useFactory: load }, MetricsServer],
  exports: [Metrics, MetricsServer],
})
export class MetricsModule {}
