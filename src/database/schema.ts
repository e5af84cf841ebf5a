import { type DataSource, MigrationExecutor, type MigrationInterface, type QueryRunner } from 'typeorm';
import { migrations as ownMigrations } from './own-migrations.js';
import { SchemaError } from './schema-error.js';

/** An arbitrary key of an advisory lock that no other program uses in the same database. */
const MIGRATION_LOCK = 7_228_113_064;
const TIMESTAMP = /\d+$/;
/** The latest migration that the service itself has. */
const LATEST = ownMigrations.at(-1)!.name;
/**
 * What the comment of the table of migrations begins with: behind it is the latest one of the service. Other names in
 * the table may be those of modules that this process does not have.
 */
const MARK = 'matrix-session-service ';
/** A statement of a try must not hold up others for longer. */
const TRY_LOCK_TIMEOUT = '2s';

/** What the schema of a database has and lacks, by the names of migrations in their order. */
export interface SchemaState {
  readonly missing: readonly string[];
  /** The latest migration of the newer version that the schema belongs to; `null` if it is not newer. */
  readonly newer: string | null;
}

/** A migration that has run. */
interface Executed {
  readonly id: number;
  readonly name: string;
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
 * Brings the schema up to date, in one transaction that also holds a lock. Any number of processes may do so at once:
 * one migrates, the others wait. If it dies, its lock and its work are gone together.
 * @throws {SchemaError} if the schema belongs to a newer version
 */
export async function migrateSchema(dataSource: DataSource): Promise<readonly string[]> {
  return locked(dataSource, async (runner) => {
    requireKnown(await stateOf(dataSource, runner));
    const executor = new MigrationExecutor(dataSource, runner);
    executor.transaction = 'none';
    const done = (await executor.executePendingMigrations()).map(({ name }) => name);
    await runner.query(`COMMENT ON TABLE ${tableOf(dataSource)} IS '${MARK}${LATEST}'`);
    return done;
  });
}

/**
 * Reverts every migration that ran after one, the latest first, so that an older version can start. What only the newer
 * tables hold is lost.
 * @returns what was reverted
 * @throws {SchemaError} if there is no such migration, or the schema belongs to a newer version
 */
export async function revertSchema(dataSource: DataSource, backTo: string): Promise<readonly string[]> {
  return locked(dataSource, async (runner) => {
    requireKnown(await stateOf(dataSource, runner));
    const executed = await executedOf(dataSource, runner);
    const kept = executed.findIndex(({ name }) => name === backTo);
    if (kept === -1)
      throw new SchemaError([
        `There is no migration ${backTo}: there are ${executed.map(({ name }) => name).join(', ')}`,
      ]);
    const reverted = executed.slice(kept + 1).toReversed();
    for (const { id, name } of reverted) {
      const migration = dataSource.migrations.find((one) => nameOf(one) === name);
      if (migration === undefined)
        throw new SchemaError([`${name} cannot be reverted: it belongs to a module that is not here`]);
      await migration.down(runner);
      await runner.query(`DELETE FROM ${tableOf(dataSource)} WHERE id = $1`, [id]);
    }
    const own = new Set(ownMigrations.map((one) => one.name));
    const latest = executed.slice(0, kept + 1).findLast(({ name }) => own.has(name));
    await runner.query(`COMMENT ON TABLE ${tableOf(dataSource)} IS '${MARK}${latest?.name ?? ''}'`);
    return reverted.map(({ name }) => name);
  });
}

/**
 * Runs what is missing, and rolls it back. It fails if others hold what it needs for longer than a moment.
 * @param tell gets each statement
 */
export async function tryMigrations(
  dataSource: DataSource,
  tell: (statement: string) => void,
): Promise<void> {
  const runner = dataSource.createQueryRunner();
  await runner.startTransaction();
  try {
    await runner.query(`SET LOCAL lock_timeout = '${TRY_LOCK_TIMEOUT}'`);
    await runner.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
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

/** @throws {SchemaError} unless the schema is that of this version */
export async function requireCurrentSchema(dataSource: DataSource): Promise<void> {
  const state = await schemaState(dataSource);
  requireKnown(state);
  if (state.missing.length > 0)
    throw new SchemaError([
      `The schema is older than this version, and nothing may change it here: run "matrix-session migrate" first. ` +
        `It lacks ${state.missing.join(', ')}`,
    ]);
}

function requireKnown({ newer }: SchemaState): void {
  if (newer !== null)
    throw new SchemaError([
      `The schema belongs to a newer version of the service, which has ${newer}. Start that version, or let it go back ` +
        `("matrix-session migrate --back-to")`,
    ]);
}

async function locked<Result>(
  dataSource: DataSource,
  work: (runner: QueryRunner) => Promise<Result>,
): Promise<Result> {
  return dataSource.transaction(async ({ queryRunner }) => {
    await queryRunner!.query('SELECT pg_advisory_xact_lock($1)', [MIGRATION_LOCK]);
    return work(queryRunner!);
  });
}

async function stateOf(dataSource: DataSource, runner: QueryRunner): Promise<SchemaState> {
  const own = dataSource.migrations.map(nameOf);
  const known = new Set((await executedOf(dataSource, runner)).map(({ name }) => name));
  const [{ comment }] = (await runner.query(`SELECT obj_description(to_regclass($1)) AS comment`, [
    tableOf(dataSource),
  ])) as [{ comment: string | null }];
  const latest = comment?.startsWith(MARK) ? comment.slice(MARK.length) : '';
  return {
    missing: own.filter((name) => !known.has(name)),
    newer: timestampOf(latest) > timestampOf(LATEST) ? latest : null,
  };
}

/** In the order in which they ran. */
async function executedOf(dataSource: DataSource, runner: QueryRunner): Promise<Executed[]> {
  const table = tableOf(dataSource);
  const [{ there }] = (await runner.query('SELECT to_regclass($1) IS NOT NULL AS there', [table])) as [
    { there: boolean },
  ];
  return there ? ((await runner.query(`SELECT id, name FROM ${table} ORDER BY id`)) as Executed[]) : [];
}

function tableOf(dataSource: DataSource): string {
  return String(dataSource.options.migrationsTableName);
}

function nameOf({ name, constructor }: MigrationInterface): string {
  return name ?? constructor.name;
}

function timestampOf(name: string): number {
  return Number(TIMESTAMP.exec(name)?.[0] ?? 0);
}
