import 'reflect-metadata';
import { existsSync } from 'node:fs';
import { isatty } from 'node:tty';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { createApplication } from './application.js';
import { type Command, readCommandLine } from './command-line.js';
import { Environment, LOG_LEVELS } from './config/environment.js';
import { importSynapse } from './import-synapse.js';
import { EmbeddedPostgres } from './database/embedded/embedded-postgres.js';
import { ServiceLogger } from './observability/service-logger.js';
import { reasonOf } from './start-failure.js';
import { stackOf } from './system/stack.js';
import { listening, welcome } from './welcome.js';

/** Long enough for open requests to end and for the pending writes after them, once `SHUTDOWN_DELAY` has passed. */
const STOP_DEADLINE_MS = 25_000;

const command = withEnvFile(readCommandLine(process.argv.slice(2)));
const isProduction = process.env['NODE_ENV'] === 'production';
/** In production every line is JSON. */
const logLevel = LOG_LEVELS.find((level) => level === process.env['LOG_LEVEL']) ?? 'info';
const jsonLines = isProduction ? await ServiceLogger.open({ production: true, logLevel }) : null;

let embedded: EmbeddedPostgres | null = null;
let app: NestExpressApplication | null = null;
let delayMs = 0;

if (command.name === 'say') {
  if (command.exitCode === 0) console.log(command.words);
  else if (jsonLines !== null) jsonLines.error(command.words);
  else console.error(command.words);
  process.exit(command.exitCode);
}
if (jsonLines !== null) speakJson(jsonLines);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop(0));
await start();

async function start(): Promise<void> {
  try {
    const environment = Environment.load(process.env);
    for (const { name, meant } of Environment.misspeltIn(process.env))
      warn(`The variable ${name} is read by nobody. Is ${meant} meant?`);
    delayMs = environment.shutdownDelayMs;
    const { databaseUrl: url, dataDir, port, host } = environment;
    if (url === null) embedded = await EmbeddedPostgres.start({ dataDir });
    const setup = { environment, database: embedded?.location ?? { url: url! } };
    if (command.name === 'import') {
      await importSynapse(setup, command, (words) => console.log(words));
      return await stop(0);
    }
    app = await createApplication(setup, jsonLines ?? undefined);
    await app.listen(port, host);
    const address = await app.getUrl();
    if (jsonLines === null) console.log(welcome(environment, address, embedded, isatty(1)));
    else jsonLines.log(listening(environment, address));
  } catch (error) {
    tell(error);
    await stop(1);
  }
}

/** Ends requests, then database connections, then the embedded server. Exits at the deadline in any case. */
async function stop(code: number): Promise<void> {
  setTimeout(() => process.exit(1), STOP_DEADLINE_MS + delayMs).unref();
  let isFailed = false;
  for (const part of [() => app?.close(), () => embedded?.stop()]) {
    try {
      await part();
    } catch (error) {
      tell(error);
      isFailed = true;
    }
  }
  process.exit(isFailed ? 1 : code);
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

function warn(words: string): void {
  if (jsonLines === null) console.error(words);
  else jsonLines.warn(words);
}

/** Adds the variables of a file to those that are set, which stay as they are. */
function withEnvFile(asked: Command): Command {
  if (asked.name === 'say') return asked;
  const { envFile } = asked;
  if (envFile === null && !existsSync('.env')) return asked;
  try {
    process.loadEnvFile(envFile ?? '.env');
    return asked;
  } catch (error) {
    return { name: 'say', words: `--env-file cannot be read: ${(error as Error).message}`, exitCode: 2 };
  }
}

function tell(error: unknown): void {
  if (jsonLines === null) console.error(reasonOf(error));
  else jsonLines.error(reasonOf(error));
}
