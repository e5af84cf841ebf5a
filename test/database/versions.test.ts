import { DataSource, type MigrationInterface, type QueryRunner } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dataSourceOptions } from '../../src/database/data-source.js';
import { type MigrationClass, migrations } from '../../src/database/own-migrations.js';
import {
  migrateSchema,
  requireCurrentSchema,
  revertSchema,
  schemaState,
  tryMigrations,
} from '../../src/database/schema.js';
import type { TestDatabase } from '../../src/testing/test-postgres.js';
import { createDatabase } from '../support/database.js';

/** A migration of a team's module that makes a table. */
function making(table: string, timestamp: number): MigrationClass {
  const name = `${table}${timestamp}`;
  return class implements MigrationInterface {
    readonly name = name;
    async up(runner: QueryRunner): Promise<void> {
      await runner.query(`CREATE TABLE ${table} (id int)`);
    }
    async down(runner: QueryRunner): Promise<void> {
      await runner.query(`DROP TABLE ${table}`);
    }
  };
}

const EARLY = making('early', 1_763_950_000_001);
const LATE = making('late', 1_999_000_000_000);
const OWN = migrations.map(({ name }) => name);
const LAST = OWN.at(-1)!;

let database: TestDatabase;
const opened: DataSource[] = [];
const open = async (...extensions: MigrationClass[]): Promise<DataSource> => {
  const source = await new DataSource(dataSourceOptions(database.location, 3, { extensions })).initialize();
  opened.push(source);
  return source;
};
const tables = async (source: DataSource) =>
  ((await source.query(`SELECT to_regclass('early') AS early, to_regclass('late') AS late`)) as object[])[0];

beforeEach(async () => {
  database = await createDatabase('empty');
});
afterEach(async () => {
  for (const source of opened.splice(0)) await source.destroy();
  await database.drop();
});

describe('Going back', () => {
  it('reverts what ran after a migration, in the order in which it ran, and nothing else', async () => {
    // A module came later, with a migration whose time is before some of ours.
    await migrateSchema(await open());
    const source = await open(EARLY, LATE);
    expect(await migrateSchema(source)).toEqual(['early1763950000001', 'late1999000000000']);
    expect(await revertSchema(source, LAST)).toEqual(['late1999000000000', 'early1763950000001']);
    expect(await tables(source)).toEqual({ early: null, late: null });
    expect((await schemaState(source)).missing).toEqual(['early1763950000001', 'late1999000000000']);
    const reverted = await revertSchema(source, OWN.at(-3)!);
    expect(reverted).toEqual([LAST, OWN.at(-2)]);
    expect(await migrateSchema(source)).toHaveLength(4);
    expect(await tables(source)).toEqual({ early: 'early', late: 'late' });
  });

  it('refuses what belongs to a module that is not here, and changes nothing', async () => {
    await migrateSchema(await open(LATE));
    await expect(revertSchema(await open(), OWN.at(-2)!)).rejects.toThrow('a module that is not here');
    expect(await schemaState(await open(LATE))).toEqual({ missing: [], newer: null });
  });
});

describe('A newer schema', () => {
  it('is not that of a module whose migrations are later than ours, whoever has the module', async () => {
    await migrateSchema(await open(LATE));
    await requireCurrentSchema(await open());
    await requireCurrentSchema(await open(LATE));
    expect(await migrateSchema(await open())).toEqual([]);
  });

  it('is known by its mark, also to nodes with modules of later times', async () => {
    const source = await open(LATE);
    await migrateSchema(source);
    await source.query(`COMMENT ON TABLE schema_migrations IS 'matrix-session-service Next1998000000000'`);
    for (const extensions of [[], [LATE]])
      await expect(migrateSchema(await open(...extensions))).rejects.toThrow('which has Next1998000000000');
    await expect(requireCurrentSchema(source)).rejects.toThrow('newer version');
  });
});

describe('A try of migrations', () => {
  it('does not wait for others, and leaves nothing', async () => {
    const source = await open();
    await migrateSchema(source);
    const later = await open(making('tried', 1_999_000_000_001));
    const statements: string[] = [];
    await tryMigrations(later, (statement) => statements.push(statement));
    expect(statements).toEqual(['CREATE TABLE tried (id int)']);
    expect((await schemaState(later)).missing).toEqual(['tried1999000000001']);
    const runner = source.createQueryRunner();
    await runner.startTransaction();
    await runner.query('LOCK TABLE accounts');
    const changing = await open(
      class implements MigrationInterface {
        readonly name = 'Changing1999000000002';
        async up(on: QueryRunner): Promise<void> {
          await on.query('ALTER TABLE accounts ADD COLUMN tried int');
        }
        async down(): Promise<void> {}
      },
    );
    await expect(tryMigrations(changing, () => {})).rejects.toThrow('lock timeout');
    await runner.rollbackTransaction();
    await runner.release();
  });
});
