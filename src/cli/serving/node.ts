import cluster from 'node:cluster';
import { isatty } from 'node:tty';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { createApplication } from '../../application.js';
import type { Environment } from '../../config/environment.js';
import { EmbeddedPostgres } from '../../database/embedded/embedded-postgres.js';
import { MetricsServer } from '../../metrics/metrics.server.js';
import type { Context } from '../context.js';
import { STOP_DEADLINE_MS } from './stop-deadline.js';
import type { Voice } from './voice.js';
import { listening, LOST, welcome } from './welcome.js';

/** One process that serves, from its start to its end. */
export class Node {
  private embedded: EmbeddedPostgres | null = null;
  private app: NestExpressApplication | null = null;
  private stopped: Promise<never> | undefined;

  constructor(
    private readonly context: Context,
    private readonly environment: Environment,
    private readonly voice: Voice,
  ) {}

  async start(): Promise<void> {
    const { context, environment, voice } = this;
    const { databaseUrl: url, dataDir, port, host } = environment;
    // A worker shares the server that its primary has started.
    if (url === null) {
      this.embedded = await EmbeddedPostgres.start({ dataDir });
      this.embedded.whenLost(() => {
        voice.warn(LOST);
        void this.stop(1);
      });
    }
    const setup = { environment, database: this.embedded?.location ?? { url: url! } };
    this.app = await createApplication({ ...setup, ...context.additions }, voice.jsonLines ?? undefined);
    if (cluster.isWorker) this.app.get(MetricsServer, { strict: false }).leaveToPrimary();
    await this.app.listen(port, host);
    if (cluster.isWorker) return;
    const address = await this.app.getUrl();
    voice.say(welcome(environment, address, this.embedded, isatty(1)), listening(environment, address));
  }

  /** Ends requests, database connections, the embedded server, and at the deadline in any case the process. */
  stop(code: number): Promise<never> {
    return (this.stopped ??= this.stopParts(code));
  }

  private async stopParts(code: number): Promise<never> {
    setTimeout(() => process.exit(1), STOP_DEADLINE_MS + this.environment.shutdownDelayMs).unref();
    let isFailed = false;
    for (const part of [() => this.app?.close(), () => this.embedded?.stop()]) {
      try {
        await part();
      } catch (error) {
        this.voice.tell(error);
        isFailed = true;
      }
    }
    process.exit(isFailed ? 1 : code);
  }
}
