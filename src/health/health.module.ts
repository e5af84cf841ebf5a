import { Module, type OnModuleInit } from '@nestjs/common';
import { Metrics } from '../metrics/metrics.js';
import { MetricsServer } from '../metrics/metrics.server.js';
import { HealthChecks } from './health-checks.js';
import { HealthController } from './health.controller.js';
import { Readiness } from './readiness.js';

/** Health of this node. */
@Module({ controllers: [HealthController], providers: [HealthChecks, Readiness] })
export class HealthModule implements OnModuleInit {
  constructor(
    private readonly server: MetricsServer,
    private readonly readiness: Readiness,
    private readonly metrics: Metrics,
  ) {}

  /** The details are for operators, and not for the world. */
  onModuleInit(): void {
    const ready = {
      name: 'session_ready',
      help: 'Whether this node can serve requests.',
      acrossWorkers: 'min',
    } as const;
    this.metrics.addGauge(ready, async () => [
      { labels: {}, value: (await this.readiness.check()).status === 'ok' ? 1 : 0 },
    ]);
    this.server.add('GET', '/health/live', async () => ({ status: 200, body: { status: 'ok' } }));
    this.server.add('GET', '/health/ready', async () => {
      const body = await this.readiness.check();
      return { status: body.status === 'ok' ? 200 : 503, body };
    });
  }
}
