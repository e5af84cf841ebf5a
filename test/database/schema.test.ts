import { DataSource } from 'typeorm';
import { describe, expect, it } from 'vitest';
import { dataSourceOptions, openDataSource } from '../../src/database/data-source.js';
import { migrations } from '../../src/database/own-migrations.js';
import { createDatabase } from '../support/database.js';
import { ownerOfTables } from '../support/sources.js';
import { useApp } from '../support/test-app.js';

const app = useApp();

/** Tables that need not start with a user, each with its reason. */
const WITHOUT_USER: Record<string, string> = {
  schema_migrations: 'bookkeeping of TypeORM, read at start-up only',
  event_subscriptions: 'who hears of which events',
  oauth_clients: 'of all users; a reference table where tables are distributed',
  oauth_device_grants: 'devices that wait until somebody says whose they are',
  reconciler_rounds: 'where the next round goes on, one row',
  registration_tokens: 'nobody has an account yet',
  ending_jobs: 'orders that concern many users',
  rate_limits: 'counters of addresses as well as of users, in the shape that the library wants',
};

/** Tables whose rows outlive the device they name, each with its reason. */
const WITHOUT_DEVICE: Record<string, string> = {
  device_list_changes: 'tells of devices that are gone',
  audit_entries: 'tells how they went',
  oauth_grants: 'what may become a device',
  homeserver_second_looks: 'devices that are to be deleted elsewhere once more',
};

describe('The schema', () => {
  it('matches the entities: there is nothing to synchronise', async () => {
    const { upQueries } = await app().nest.get(DataSource).driver.createSchemaBuilder().log();
    const tables = [...(await ownerOfTables()).keys()];
    expect(tables).toContain('devices');
    // Nest keeps the entities of all applications in a process together, so a team's entities may be among them.
    const own = upQueries.filter(({ query }) => tables.some((table) => query.includes(`"${table}"`)));
    expect(own.map(({ query }) => query)).toEqual([]);
  });

  it('can be reverted completely', async () => {
    const database = await createDatabase();
    const dataSource = await new DataSource(dataSourceOptions(database.location, 2)).initialize();
    for (const _ of migrations) await dataSource.undoLastMigration();
    const tables = await dataSource.query(`SELECT tablename FROM pg_tables WHERE schemaname = 'public'`);
    expect(tables).toEqual([{ tablename: 'schema_migrations' }]);
    await dataSource.destroy();
    await database.drop();
  });

  it('is created once when four processes start at the same time', async () => {
    const database = await createDatabase('empty');
    const options = dataSourceOptions(database.location, 2);
    const sources = await Promise.all(Array.from({ length: 4 }, () => openDataSource(options)));
    const rows = await sources[0]!.query('SELECT name FROM schema_migrations');
    expect(rows).toHaveLength(migrations.length);
    await Promise.all(sources.map((source) => source.destroy()));
    await database.drop();
  });
});

describe('Every table', () => {
  const tables = () => `
    SELECT c.oid, c.relname AS name FROM pg_class c
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
      AND c.relname <> ALL ('{${Object.keys(WITHOUT_USER).join(',')}}')`;

  it('has a user', async () => {
    const rows = await app().sql(`
      SELECT t.name FROM (${tables()}) t WHERE NOT EXISTS
        (SELECT FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attname = 'user_id' AND a.attnotnull)`);
    expect(rows).toEqual([]);
  });

  it('has the user first in its primary key, unique indexes and foreign keys', async () => {
    const indexes = await app().sql(`
      SELECT t.name, i.indexrelid::regclass::text AS index FROM (${tables()}) t JOIN pg_index i ON i.indrelid = t.oid
      WHERE i.indisunique AND
        (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum = i.indkey[0]) <> 'user_id'`);
    const foreignKeys = await app().sql(`
      SELECT t.name, k.conname FROM (${tables()}) t JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'f'
      WHERE k.confrelid <> 'oauth_clients'::regclass AND (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum = k.conkey[1]) <> 'user_id'`);
    expect({ indexes, foreignKeys }).toEqual({ indexes: [], foreignKeys: [] });
    const [primaryKeys] = await app().sql(`
      SELECT count(*)::int AS missing FROM (${tables()}) t
      WHERE NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.oid AND i.indisprimary)`);
    expect(primaryKeys).toEqual({ missing: 0 });
  });

  it('has an index for each foreign key: without one, a deletion reads the whole table', async () => {
    const rows = await app().sql(`
      SELECT t.name, k.conname FROM (${tables()}) t JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'f'
      WHERE NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.oid
        AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] = k.conkey)`);
    expect(rows).toEqual([]);
  });

  it('has a cascading foreign key to devices if it names a device', async () => {
    const rows = await app().sql(`
      SELECT t.name FROM (${tables()}) t
      JOIN pg_attribute a ON a.attrelid = t.oid AND a.attname = 'device_id'
      WHERE t.name NOT IN ('devices', ${Object.keys(WITHOUT_DEVICE)
        .map((table) => `'${table}'`)
        .join()}) AND NOT EXISTS
        (SELECT FROM pg_constraint k WHERE k.conrelid = t.oid AND k.contype = 'f'
           AND k.confrelid = 'devices'::regclass AND k.confdeltype = 'c')`);
    expect(rows).toEqual([]);
  });

  it('has no sequences and no triggers', async () => {
    const sequences = await app().sql(`
      SELECT c.relname FROM pg_class c WHERE c.relkind = 'S' AND c.relnamespace = 'public'::regnamespace
        AND c.relname <> 'schema_migrations_id_seq'`);
    const triggers = await app().sql('SELECT tgname FROM pg_trigger WHERE NOT tgisinternal');
    expect({ sequences, triggers }).toEqual({ sequences: [], triggers: [] });
  });
});
