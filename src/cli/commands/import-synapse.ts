import { EnvironmentError } from '../../config/environment.js';
import { type ImportProgress, SynapseImport } from '../../homeserver/import/synapse-import.js';
import { SynapseSource } from '../../homeserver/import/synapse-source.js';
import { toUserId } from '../../matrix/user-id.js';
import type { Context } from '../context.js';

/** It may come before the first start of the service. */
const FIRST_START = { changes: true, migrates: true };
/** How many users a summary names. */
const SHOWN = 20;

/**
 * Imports the database of a Synapse, and says how far it is after each batch.
 * @throws {EnvironmentError} without `HOMESERVER_URL`: the import needs the configuration of the service that will run
 */
export async function importSynapse(
  context: Context,
  { from, after = '', dryRun = false }: { from: string; after?: string; dryRun?: boolean },
): Promise<void> {
  const { homeserver, serverName } = context.environment();
  if (homeserver.url === null)
    throw new EnvironmentError(['HOMESERVER_URL must be set to the Synapse whose users are imported']);
  await context.withService(async (service) => {
    const source = await SynapseSource.open(from, toUserId(homeserver.adminUser, serverName));
    try {
      const total = await source.countUsers();
      const done = await context.terminal.progress(total, 'users', (show) => {
        const report = (sofar: ImportProgress) => {
          show(sofar.users);
          if (!context.terminal.isInteractive)
            context.terminal.hint(`${sofar.users} users of ${total}, up to ${sofar.last}`);
        };
        return service.get(SynapseImport).run(source, { serverName, dryRun, after, report });
      });
      await context.terminal.answer({ dry_run: dryRun, ...done }, () => summaryOf(done, dryRun));
    } finally {
      await source.close();
    }
  }, FIRST_START);
}

function summaryOf(done: ImportProgress, dryRun: boolean): string {
  const { users, accounts, devices, accessTokens, refreshTokens, incomplete, withoutPassword, conflicts } =
    done;
  const lines = [
    `${dryRun ? 'Would have imported' : 'Imported'} ${accounts} of ${users} users, with ${devices} devices, ` +
      `${accessTokens} access tokens and ${refreshTokens} refresh tokens.`,
  ];
  const known = users - accounts - conflicts.length;
  if (known > 0) lines.push(`${known} users are here already. Nothing of theirs is imported again.`);
  if (withoutPassword > 0)
    lines.push(
      `${withoutPassword} users have no password, and can only go on with the sessions that they have.`,
    );
  if (incomplete.length > 0)
    lines.push(
      `${incomplete.length} users have tokens or devices of a form that this service cannot serve, and must sign in ` +
        `again there: ${some(incomplete)}`,
    );
  if (conflicts.length > 0)
    lines.push(
      `${conflicts.length} users have an account here that was not imported, and are left out: ${some(conflicts)}`,
    );
  return lines.join('\n');
}

function some(userIds: readonly string[]): string {
  const more = userIds.length - SHOWN;
  return `${userIds.slice(0, SHOWN).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
