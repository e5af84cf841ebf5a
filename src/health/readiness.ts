import { Injectable, Logger, ServiceUnavailableException } from '@nestjs/common';
import { LazyModuleLoader } from '@nestjs/core';
import type { HealthCheckResult, HealthCheckService, HealthIndicatorService } from '@nestjs/terminus';
import { Shutdown } from '../matrix/shutdown.js';
import { HealthChecks } from './health-checks.js';

/** How long all checks together may take. */
const LIMIT_MS = 5_000;

interface Terminus {
  readonly health: HealthCheckService;
  readonly indicators: HealthIndicatorService;
}

/** Finds out whether this node can serve requests. */
@Injectable()
export class Readiness {
  private readonly logger = new Logger(Readiness.name);
  private terminus: Promise<Terminus> | undefined;
  private wasReady = true;

  constructor(
    private readonly checks: HealthChecks,
    private readonly shutdown: Shutdown,
    private readonly modules: LazyModuleLoader,
  ) {}

  /** Runs every check, and says how each came out and how long it took. It never throws. */
  async check(): Promise<HealthCheckResult> {
    const { health, indicators } = await (this.terminus ??= this.load());
    const run = [...this.checks.all].map(
      ([name, check]) =>
        () =>
          indicators.check(name).attempt(check).withTimeout(LIMIT_MS),
    );
    const node = () =>
      this.shutdown.hasBegun
        ? indicators.check('node').down('The node is about to stop')
        : indicators.check('node').up();
    const result = await health.check([node, ...run]).catch((error: unknown) => {
      if (error instanceof ServiceUnavailableException) return error.getResponse() as HealthCheckResult;
      throw error;
    });
    this.report(result);
    return result;
  }

  /** Logs changes alone, because load balancers ask every second. Of an outage, the log tells elsewhere. */
  private report({ status, error = {} }: HealthCheckResult): void {
    const isReady = status === 'ok' || 'database' in error;
    if (isReady !== this.wasReady)
      this.logger[isReady ? 'log' : 'warn'](
        isReady ? 'The node is ready again' : `The node is not ready: ${JSON.stringify(error)}`,
      );
    this.wasReady = isReady;
  }

  /** With the first question, because the library takes time and memory. */
  private async load(): Promise<Terminus> {
    const { HealthCheckService, HealthIndicatorService, TerminusModule } = await import('@nestjs/terminus');
    const module = await this.modules.load(() => TerminusModule.forRoot({ logger: false }), {
      logger: false,
    });
    return { health: module.get(HealthCheckService), indicators: module.get(HealthIndicatorService) };
  }
}
