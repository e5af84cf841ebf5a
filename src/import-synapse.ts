import { toUserId } from './matrix/user-id.js';
import { createApplication } from './application.js';
import type { Setup } from './composition.js';
import { EnvironmentError } from './config/environment.js';
import { type ImportProgress, SynapseImport } from './homeserver/import/synapse-import.js';
import { SynapseSource } from './homeserver/import/synapse-source.js';

/** How many users a summary names. */
const SHOWN = 20;

/**
 * Imports the database of a Synapse, and says how far it is after each batch.
 * @throws {EnvironmentError} without `HOMESERVER_URL`: the import needs the configuration of the service that will run
 */
export async function importSynapse(
  setup: Setup,
  { from, after, dryRun }: { from: string; after: string; dryRun: boolean },
  say: (words: string) => void,
): Promise<void> {
  const { environment } = setup;
  if (environment.homeserver.url === null)
    throw new EnvironmentError(['HOMESERVER_URL must be set to the Synapse whose users are imported']);
  // Made whole, so that the schema is brought up to date, but it listens to nobody.
  const app = await createApplication(setup);
  await app.init();
  try {
    const source = await SynapseSource.open(
      from,
      toUserId(setup.environment.homeserver.adminUser, setup.environment.serverName),
    );
    try {
      const total = await source.countUsers();
      const report = (progress: ImportProgress) =>
        say(`${progress.users} users of ${total}, up to ${progress.last}`);
      const { serverName } = environment;
      const done = await app
        .get(SynapseImport, { strict: false })
        .run(source, { serverName, dryRun, after, report });
      say(summaryOf(done, dryRun));
    } finally {
      await source.close();
    }
  } finally {
    await app.close();
  }
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
