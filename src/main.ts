import 'reflect-metadata';
import { createApplication } from './application.js';
import { Environment, EnvironmentError } from './config/environment.js';
import { EmbeddedPostgres } from './database/embedded/embedded-postgres.js';
import { welcome } from './welcome.js';

const STOP_DEADLINE_MS = 10_000;

const environment = readEnvironment();
const embedded =
  environment.databaseUrl === null ? await EmbeddedPostgres.start({ dataDir: environment.dataDir }) : null;
const database = embedded?.location ?? { url: environment.databaseUrl! };
const app = await createApplication({ environment, database });
await app.listen(environment.port, environment.host);
console.log(welcome(environment, await app.getUrl(), embedded?.home ?? null));

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop());

/** Requests first, then the connections, then the server that they led to; nobody waits for the slow ones for ever. */
async function stop(): Promise<void> {
  setTimeout(() => process.exit(1), STOP_DEADLINE_MS).unref();
  await app.close();
  await embedded?.stop();
  process.exit(0);
}

function readEnvironment(): Environment {
  try {
    return Environment.load(process.env);
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error;
    console.error(`The configuration is wrong:\n${error.message}`);
    process.exit(1);
  }
}
