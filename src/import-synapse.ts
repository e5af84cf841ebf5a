import { createApplication } from './application.js';
import type { Setup } from './composition.js';
import { EnvironmentError } from './config/environment.js';
import { type ImportProgress, SynapseImport } from './homeserver/import/synapse-import.js';
import { SynapseSource } from './homeserver/import/synapse-source.js';

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
    const source = await SynapseSource.open(from);
    try {
      const total = await source.countUsers();
      const report = (progress: ImportProgress) =>
        say(`${toLine(progress)} of ${total}, up to ${progress.last}`);
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

function toLine({ users }: ImportProgress): string {
  return `${users} users`;
}

function summaryOf(done: ImportProgress, dryRun: boolean): string {
  const { users, accounts, devices, accessTokens, refreshTokens, skipped, conflicts } = done;
  const lines = [
    `${dryRun ? 'Would have imported' : 'Imported'} ${accounts} accounts, ${devices} devices, ${accessTokens} access ` +
      `tokens and ${refreshTokens} refresh tokens of ${users} users. The rest was there already.`,
  ];
  if (skipped > 0)
    lines.push(`${skipped} devices and tokens were left out, because this service could not serve them.`);
  if (conflicts.length > 0)
    lines.push(
      `${conflicts.length} users have an account here that was not imported, and were left out: ${conflicts.join(', ')}`,
    );
  return lines.join('\n');
}
