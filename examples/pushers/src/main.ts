import { createApplication, EmbeddedPostgres, Environment } from 'matrix-session-service';
import { CreatePushers1764100000000 } from './create-pushers.migration.js';
import { PushersModule } from './pushers.module.js';

const environment = Environment.load(process.env);
const { databaseUrl, dataDir, host, port } = environment;
const embedded = databaseUrl === null ? await EmbeddedPostgres.start({ dataDir }) : null;
const app = await createApplication({
  environment,
  database: embedded?.location ?? { url: databaseUrl! },
  extensions: [PushersModule.forRoot({ workersUrl: process.env['PUSH_WORKERS_URL'] ?? null })],
  migrations: [CreatePushers1764100000000],
});
app.enableShutdownHooks();
await app.listen(port, host);
console.log(`Sessions and pushers at ${await app.getUrl()}`);
