import type { DataSource, MigrationInterface, QueryRunner } from 'typeorm';
import { EnvironmentError } from '../config/environment.js';

/** An arbitrary key of an advisory lock that no other program uses in the same database. */
const MIGRATION_LOCK = 7_228_113_064;
const TIMESTAMP = /\d+$/;

/** What the schema of a database has and lacks, by the names of migrations in their order. */
export interface SchemaState {
  readonly missing: readonly string[];
  /** Migrations that are newer than all of this version. */
  readonly newer: readonly string[];
}

/** Compares the schema with the migrations of this version. */
export async function schemaState(dataSource: DataSource): Promise<SchemaState> {
  const runner = dataSource.createQueryRunner();
  try {
    return await stateOf(dataSource, runner);
  } finally {
    await runner.release();
  }
}

/**
 * Brings the schema up to date. Any number of processes may do so at once: one migrates, the others wait. The lock
 * belongs to a transaction, so it is released if its holder dies.
 * @throws {EnvironmentError} if the schema belongs to a newer version
 */
export async function migrateSchema(dataSource: DataSource): Promise<readonly string[]> {
  return dataSource.transaction(async ({ queryRunner }) => {
    await queryRunner!.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
    requireKnown(await stateOf(dataSource, queryRunner!));
    return (await dataSource.runMigrations()).map(({ name }) => name);
  });
}

/**
 * Reverts every migration behind one, the latest first, so that an older version can start. What only the newer tables
 * hold is lost.
 * @returns what was reverted
 * @throws {EnvironmentError} if there is no such migration, or the schema belongs to a newer version
 */
export async function revertSchema(dataSource: DataSource, backTo: string): Promise<readonly string[]> {
  return dataSource.transaction(async ({ queryRunner }) => {
    await queryRunner!.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
    const state = await stateOf(dataSource, queryRunner!);
    requireKnown(state);
    const done = dataSource.migrations.map(nameOf).filter((name) => !state.missing.includes(name));
    const at = done.indexOf(backTo);
    if (at === -1)
      throw new EnvironmentError([`There is no migration ${backTo}: there are ${done.join(', ')}`]);
    const reverted = done.slice(at + 1).toReversed();
    for (const _ of reverted) await dataSource.undoLastMigration();
    return reverted;
  });
}

/**
 * Runs what is missing, and rolls it back.
 * @param tell gets each statement
 */
export async function tryMigrations(
  dataSource: DataSource,
  tell: (statement: string) => void,
): Promise<void> {
  const runner = dataSource.createQueryRunner();
  await runner.startTransaction();
  try {
    const { missing } = await stateOf(dataSource, runner);
    const query = runner.query.bind(runner);
    const telling = Object.assign(Object.create(runner) as QueryRunner, {
      query: (statement: string, ...rest: never[]) => {
        tell(statement);
        return query(statement, ...rest);
      },
    });
    for (const migration of dataSource.migrations.filter((one) => missing.includes(nameOf(one))))
      await migration.up(telling);
  } finally {
    await runner.rollbackTransaction();
    await runner.release();
  }
}

/** @throws {EnvironmentError} unless the schema is that of this version */
export async function requireCurrentSchema(dataSource: DataSource): Promise<void> {
  const state = await schemaState(dataSource);
  requireKnown(state);
  if (state.missing.length > 0)
    throw new EnvironmentError([
      `The schema is older than this version, and MIGRATE is off: run "matrix-session migrate" first. ` +
        `It lacks ${state.missing.join(', ')}`,
    ]);
}

function requireKnown({ newer }: SchemaState): void {
  if (newer.length > 0)
    throw new EnvironmentError([
      `The schema belongs to a newer version of the service: ${newer.join(', ')}. Start that version, or restore a backup`,
    ]);
}

async function stateOf(dataSource: DataSource, runner: QueryRunner): Promise<SchemaState> {
  const own = dataSource.migrations.map(nameOf);
  const table = String(dataSource.options.migrationsTableName);
  const [{ there }] = (await runner.query('SELECT to_regclass($1) IS NOT NULL AS there', [table])) as [
    { there: boolean },
  ];
  const rows = there ? ((await runner.query(`SELECT name FROM ${table}`)) as { name: string }[]) : [];
  const known = new Set(rows.map(({ name }) => name));
  const latest = Math.max(...own.map(timestampOf));
  return {
    missing: own.filter((name) => !known.has(name)),
    newer: [...known].filter((name) => !own.includes(name) && timestampOf(name) > latest),
  };
}

function nameOf({ name, constructor }: MigrationInterface): string {
  return name ?? constructor.name;
}

function timestampOf(name: string): number {
  return Number(TIMESTAMP.exec(name)?.[0] ?? 0);
}
