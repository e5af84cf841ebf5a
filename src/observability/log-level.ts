import { type BeforeApplicationShutdown, Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { LOG_LEVELS } from '../config/environment.js';
import { MetricsServer } from '../metrics/metrics.server.js';
import { type Level, ServiceLogger } from './service-logger.js';

const PATH = '/log-level';

/**
 * Changes what is logged while the service runs: SIGUSR2 turns debugging on and off again, and `PUT /log-level` at
 * `METRICS_PORT` sets any level.
 */
@Injectable()
export class LogLevel implements OnModuleInit, BeforeApplicationShutdown {
  private readonly logger = new Logger(LogLevel.name);
  private readonly toggle = (): void => {
    const { level, levelAtStart } = this.log;
    this.set(level === levelAtStart ? 'debug' : levelAtStart);
  };

  constructor(
    private readonly log: ServiceLogger,
    private readonly server: MetricsServer,
  ) {}

  onModuleInit(): void {
    process.on('SIGUSR2', this.toggle);
    this.server.add('GET', PATH, async () => this.told());
    this.server.add('PUT', PATH, async (body) => {
      const { level } = (body ?? {}) as { level?: unknown };
      const known = LOG_LEVELS.find((one) => one === level);
      if (known === undefined)
        return { status: 400, body: { error: `level must be one of ${LOG_LEVELS.join(', ')}` } };
      this.set(known);
      return this.told();
    });
  }

  beforeApplicationShutdown(): void {
    process.off('SIGUSR2', this.toggle);
  }

  private told() {
    return { status: 200, body: { level: this.log.level } };
  }

  private set(level: Level): void {
    this.log.level = level;
    this.logger.warn(`The log level is ${level} now`);
  }
}
