import { Pool } from 'pg';
import { type DatabaseLocation, SETTINGS } from '../../src/database/data-source.js';
import { clientOptions } from '../../src/testing/test-postgres.js';

/** The service's settings as parameters of a connection. */
export const PARAMETERS = Object.entries(SETTINGS)
  .map(([name, value]) => `-c ${name}=${value}`)
  .join(' ');

/** As many connections as the service has, and plans made once, as there. */
export function barePool(): Pool {
  const location = JSON.parse(process.env['BENCH_DATABASE']!) as DatabaseLocation;
  return new Pool({ ...clientOptions(location), max: 10, options: PARAMETERS });
}
