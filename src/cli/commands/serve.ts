import { isatty } from 'node:tty';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { createApplication } from '../../application.js';
import { Environment, LOG_LEVELS } from '../../config/environment.js';
import { EmbeddedPostgres } from '../../database/embedded/embedded-postgres.js';
import { ServiceLogger } from '../../observability/service-logger.js';
import { stackOf } from '../../system/stack.js';
import type { Context } from '../context.js';
import { reasonOf } from '../start-failure.js';
import { listening, welcome } from '../welcome.js';

/** Long enough for open requests to end and for the pending writes after them, once `SHUTDOWN_DELAY` has passed. */
const STOP_DEADLINE_MS = 25_000;

/** Serves until a signal comes. It ends the process itself, because after the deadline nothing is waited for. */
export async function serve(context: Context): Promise<never> {
  const node = await Node.prepared(context);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void node.stop(0));
  await node.start();
  return new Promise(() => {});
}

/** One node of the service, from its start to the end of the process. */
class Node {
  private embedded: EmbeddedPostgres | null = null;
  private app: NestExpressApplication | null = null;
  private delayMs = 0;

  private constructor(
    private readonly context: Context,
    /** In production every line is JSON. */
    private readonly jsonLines: ServiceLogger | null,
  ) {}

  static async prepared(context: Context): Promise<Node> {
    const { values } = context.variables;
    if (values['NODE_ENV'] !== 'production') return new Node(context, null);
    const logLevel = LOG_LEVELS.find((level) => level === values['LOG_LEVEL']) ?? 'info';
    const jsonLines = await ServiceLogger.open({ production: true, logLevel });
    speakJson(jsonLines);
    return new Node(context, jsonLines);
  }

  async start(): Promise<void> {
    try {
      const { values } = this.context.variables;
      const environment = Environment.load(values);
      for (const { name, meant } of Environment.misspeltIn(values))
        this.warn(`The variable ${name} is read by nobody. Is ${meant} meant?`);
      this.delayMs = environment.shutdownDelayMs;
      const { databaseUrl: url, dataDir, port, host } = environment;
      if (url === null) this.embedded = await EmbeddedPostgres.start({ dataDir });
      const setup = { environment, database: this.embedded?.location ?? { url: url! } };
      this.app = await createApplication(
        { ...setup, ...this.context.additions },
        this.jsonLines ?? undefined,
      );
      await this.app.listen(port, host);
      const address = await this.app.getUrl();
      if (this.jsonLines === null) console.log(welcome(environment, address, this.embedded, isatty(1)));
      else this.jsonLines.log(listening(environment, address));
    } catch (error) {
      this.tell(error);
      await this.stop(1);
    }
  }

  /** Ends requests, then database connections, then the embedded server. Exits at the deadline in any case. */
  async stop(code: number): Promise<void> {
    setTimeout(() => process.exit(1), STOP_DEADLINE_MS + this.delayMs).unref();
    let isFailed = false;
    for (const part of [() => this.app?.close(), () => this.embedded?.stop()]) {
      try {
        await part();
      } catch (error) {
        this.tell(error);
        isFailed = true;
      }
    }
    process.exit(isFailed ? 1 : code);
  }

  private warn(words: string): void {
    if (this.jsonLines === null) console.error(words);
    else this.jsonLines.warn(words);
  }

  private tell(error: unknown): void {
    if (this.jsonLines === null) console.error(reasonOf(error));
    else this.jsonLines.error(reasonOf(error));
  }
}

/** Logs uncaught errors and Node's warnings as JSON, because Node itself prints them as text. */
function speakJson(logger: ServiceLogger): void {
  process.once('uncaughtException', (error) => {
    logger.error(`Nobody caught this: ${stackOf(error)}`);
    process.exit(1);
  });
  // With `--no-warnings` Node has no listener.
  if (process.listenerCount('warning') === 0) return;
  process.removeAllListeners('warning');
  process.on('warning', (warning: Error & { code?: string }) => {
    const { name, message, code } = warning;
    logger.warn(`${name}${code === undefined ? '' : ` [${code}]`}: ${message}`);
  });
}
