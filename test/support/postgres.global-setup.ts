import { TestPostgres } from '../../src/testing/test-postgres.js';

/** One real PostgreSQL for the whole run. */
export default async function setup(): Promise<() => Promise<void>> {
  const postgres = await TestPostgres.start();
  return () => postgres.stop();
}
