import { TestPostgres } from 'matrix-session-service/testing';

/** One PostgreSQL for the whole run; each app gets a database of its own on it. */
export default async function setup(): Promise<() => Promise<void>> {
  const postgres = await TestPostgres.start();
  return () => postgres.stop();
}
