import 'reflect-metadata';
import { createApplication } from './application.js';
import { Environment, EnvironmentError } from './config/environment.js';
import { EmbeddedPostgres } from './database/embedded/embedded-postgres.js';
import { welcome } from './welcome.js';

const environment = readEnvironment();
const embedded =
  environment.databaseUrl === null ? await EmbeddedPostgres.start({ dataDir: environment.dataDir }) : null;
const database = embedded?.location ?? { url: environment.databaseUrl! };
const app = await createApplication({ environment, database });
await app.listen(environment.port, environment.host);
console.log(welcome(environment, await app.getUrl(), embedded?.home ?? null));

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop());

/** Requests first, then the connections, then the server that they led to. */
async function stop(): Promise<void> {
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
