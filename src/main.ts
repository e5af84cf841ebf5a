import 'reflect-metadata';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { createApplication } from './application.js';
import { Environment } from './config/environment.js';
import { EmbeddedPostgres } from './database/embedded/embedded-postgres.js';
import { reasonOf } from './start-failure.js';
import { welcome } from './welcome.js';

/** Longer than requests have to end, and than what is written down after them takes. */
const STOP_DEADLINE_MS = 25_000;

let embedded: EmbeddedPostgres | null = null;
let app: NestExpressApplication | null = null;

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop(0));
await start();

async function start(): Promise<void> {
  try {
    const environment = Environment.load(process.env);
    const { databaseUrl: url, dataDir, port, host } = environment;
    if (url === null) embedded = await EmbeddedPostgres.start({ dataDir });
    app = await createApplication({ environment, database: embedded?.location ?? { url: url! } });
    await app.listen(port, host);
    console.log(welcome(environment, await app.getUrl(), embedded));
  } catch (error) {
    console.error(reasonOf(error));
    await stop(1);
  }
}

/** Requests first, then the connections, then the server that they led to; nobody waits for the slow ones for ever. */
async function stop(code: number): Promise<void> {
  setTimeout(() => process.exit(1), STOP_DEADLINE_MS).unref();
  const failures = [];
  for (const part of [() => app?.close(), () => embedded?.stop()])
    await Promise.resolve(part()).catch((error: unknown) => failures.push(console.error(reasonOf(error))));
  process.exit(failures.length > 0 ? 1 : code);
}
