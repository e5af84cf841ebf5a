import { Module, type OnModuleInit } from '@nestjs/common';
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
  ) {}

  /** The details are for operators, and not for the world. */
  onModuleInit(): void {
    this.server.add('GET', '/health/live', async () => ({ status: 200, body: { status: 'ok' } }));
    this.server.add('GET', '/health/ready', async () => {
      const body = await this.readiness.check();
      return { status: body.status === 'ok' ? 200 : 503, body };
    });
  }
}
