import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Environment } from '../../config/environment.js';
import { Metrics } from '../../metrics/metrics.js';
import { warnUnlessOutage } from '../../system/outage.js';
import { EndingJobs } from './ending-jobs.service.js';
import { EndingJobsStore } from './ending-jobs.store.js';
import { EndingJobsWorker } from './ending-jobs.worker.js';

/** Works on jobs, one at a time: soon after they begin and, if a node has died, when its lease has ended. */
@Injectable()
export class EndingJobsRunner implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(EndingJobsRunner.name);
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private isStopping = false;

  constructor(
    private readonly worker: EndingJobsWorker,
    private readonly environment: Environment,
    jobs: EndingJobs,
    store: EndingJobsStore,
    metrics: Metrics,
  ) {
    if (environment.background) jobs.whenBegun(() => void this.run());
    const running = {
      name: 'session_ending_jobs_running',
      help: 'Jobs that end sessions, and that are not over.',
      acrossWorkers: 'max',
    } as const;
    metrics.addGauge(running, async () => [{ labels: {}, value: await store.countRunning() }]);
  }

  onApplicationBootstrap(): void {
    if (!this.environment.background) return;
    this.timer = setInterval(() => void this.run(), this.environment.eventPollIntervalMs).unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    this.isStopping = true;
    await this.running;
  }

  /** Resolves when no job is left that this node could work on. It never rejects: what fails is tried again. */
  run(): Promise<void> {
    this.running ??= this.workThrough().finally(() => (this.running = undefined));
    return this.running;
  }

  private async workThrough(): Promise<void> {
    try {
      while (!this.isStopping && (await this.worker.workOnNext(() => this.isStopping)));
    } catch (error) {
      warnUnlessOutage(this.logger, 'A job that ends sessions waits', error);
    }
  }
}
