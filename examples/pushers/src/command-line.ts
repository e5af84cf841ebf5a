import { runCommandLine } from 'matrix-session-service';
import { CreatePushers1764100000000 } from './create-pushers.migration.js';
import { PushersModule } from './pushers.module.js';

const additions = {
  extensions: [PushersModule.forRoot({ workersUrl: process.env['PUSH_WORKERS_URL'] ?? null })],
  migrations: [CreatePushers1764100000000],
};
process.exit(await runCommandLine(process.argv.slice(2), additions));
