import { EnvironmentError } from '../../config/environment.js';
import { withPatience } from '../../database/data-source.js';
import { migrateSchema, schemaState, tryMigrations } from '../../database/schema.js';
import type { Context } from '../context.js';

/** Brings the schema up to date; with `check` only says whether it is, with `dryRun` what would be done. */
export async function migrate(
  context: Context,
  { check = false, dryRun = false }: { check?: boolean; dryRun?: boolean },
): Promise<number> {
  const { terminal } = context;
  const environment = context.environment();
  return context.withDatabase(environment, async (database) =>
    withPatience(await context.connectionOptions(environment, database), async (dataSource) => {
      if (!check && !dryRun) {
        const migrated = await migrateSchema(dataSource);
        await terminal.answer({ migrated }, () =>
          migrated.length === 0 ? 'The schema is up to date.' : `Migrated: ${migrated.join(', ')}`,
        );
        return 0;
      }
      const { missing, newer } = await schemaState(dataSource);
      if (newer.length > 0)
        throw new EnvironmentError([
          `The schema belongs to a newer version of the service: ${newer.join(', ')}`,
        ]);
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
