import { type TestDatabase, TestPostgres } from '../../src/testing/test-postgres.js';

/** The URL of a database, for programs of their own. */
export function urlOf({ location }: TestDatabase): string {
  if ('url' in location) return location.url;
  const { host, port, username, database: name } = location;
  return `postgresql://${username}@localhost/${name}?host=${encodeURIComponent(host)}&port=${port}`;
}

/** An empty database (`empty`), or a clone of the migrated one, on the server of the run. */
export function createDatabase(kind?: 'migrated' | 'empty'): Promise<TestDatabase> {
  return TestPostgres.find()!.createDatabase(kind);
}
