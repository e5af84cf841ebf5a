import 'reflect-metadata';
import { createApplication } from '../src/application.js';
import { Environment } from '../src/config/environment.js';
import { SharedWork } from '../src/database/shared-work.js';
import type { DatabaseLocation } from '../src/database/data-source.js';
import { serve } from './contestant.js';
import { SERVER_NAME } from './seed.js';

// What sharing is worth shows without it: each logout in a transaction of its own, each look-up in a statement.
if (process.env['BENCH_SHARING'] === 'off') {
  SharedWork.prototype.together = function together(this: SharedWork<unknown, unknown>, item) {
    return this.alone(item);
  };
}

// The service as main.ts puts it together, on the database of the benchmark.
const environment = Environment.load({
  LOG_LEVEL: 'error',
  RATE_LIMITS: 'off',
  SERVER_NAME,
  ...process.env,
});
const database = JSON.parse(process.env['BENCH_DATABASE']!) as DatabaseLocation;
const app = await createApplication({ environment, database });
await app.listen(0, '127.0.0.1');
serve(app.getHttpServer().address());
