import { withPatience } from '../../database/data-source.js';
import { migrateSchema, revertSchema, schemaState, tryMigrations } from '../../database/schema.js';
import { SchemaError } from '../../database/schema-error.js';
import type { Context } from '../context.js';

interface MigrateOptions {
  /** Only say whether the schema is up to date. */
  readonly check?: boolean;
  /** Only try what would be done. */
  readonly dryRun?: boolean;
  /** Revert what comes behind this migration. */
  readonly backTo?: string;
}

/** Brings the schema up to date, or back to what an older version needs. */
export async function migrate(
  context: Context,
  { check = false, dryRun = false, backTo }: MigrateOptions,
): Promise<number> {
  const { terminal } = context;
  const environment = context.environment();
  if (backTo !== undefined)
    await terminal.confirm(`Revert what came after ${backTo}? What only the newer tables hold is lost.`);
  return context.withDatabase(environment, async (database) =>
    withPatience(await context.connectionOptions(environment, database), async (dataSource) => {
      if (backTo !== undefined) {
        const reverted = await revertSchema(dataSource, backTo);
        await terminal.answer({ reverted }, () =>
          reverted.length === 0 ? 'There is nothing to revert.' : `Reverted: ${reverted.join(', ')}`,
        );
        return 0;
      }
      if (!check && !dryRun) {
        const migrated = await migrateSchema(dataSource);
        await terminal.answer({ migrated }, () =>
          migrated.length === 0 ? 'The schema is up to date.' : `Migrated: ${migrated.join(', ')}`,
        );
        return 0;
      }
      const { missing, newer } = await schemaState(dataSource);
      if (newer !== null)
        throw new SchemaError([`The schema belongs to a newer version of the service: ${newer}`]);
      const statements: string[] = [];
      if (dryRun) await tryMigrations(dataSource, (statement) => statements.push(statement.trim()));
      await terminal.answer({ missing, ...(dryRun ? { statements } : {}) }, () =>
        missing.length === 0
          ? 'The schema is up to date.'
          : [`The schema lacks ${missing.join(', ')}`, ...statements].join('\n\n'),
      );
      return check && missing.length > 0 ? 1 : 0;
    }),
  );
}
