import { type TestDatabase, TestPostgres } from '../../src/testing/test-postgres.js';

/** An empty database (`empty`), or a clone of the migrated one, on the server of the run. */
export function createDatabase(kind?: 'migrated' | 'empty'): Promise<TestDatabase> {
  return TestPostgres.find()!.createDatabase(kind);
}
