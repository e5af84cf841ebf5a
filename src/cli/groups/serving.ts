import { type Command, Option } from 'commander';
import { lastImported, synapseUrl } from '../arguments.js';
import type { Actions } from '../context.js';
import { examples } from './options.js';

/** Adds the commands that run the service and prepare its database. */
export function addServing(program: Command, actions: Actions): void {
  program
    .command('serve')
    .description('serve until a signal comes; what happens without a command, too')
    .addHelpText('after', examples('serve', 'serve --env-file production.env'))
    .action(actions.of(async (context) => (await import('../commands/serve.js')).serve(context)));
  program
    .command('migrate')
    .description('bring the schema up to date')
    .addOption(
      new Option('--check', 'only say whether it is; exit code 1 if not').conflicts(['dryRun', 'backTo']),
    )
    .addOption(
      new Option('--dry-run', 'try what is missing, roll it back, and show the statements').conflicts(
        'backTo',
      ),
    )
    .option(
      '--back-to <migration>',
      'before an older version starts: revert what came after its last migration',
    )
    .addHelpText(
      'after',
      examples('migrate --check', 'migrate --dry-run', 'migrate', 'migrate --back-to OAuth1764100000000'),
    )
    .action(
      actions.of(async (context, options: object) =>
        (await import('../commands/migrate.js')).migrate(context, options),
      ),
    );
  const imports = program.command('import').description('take over the users of another server');
  addSynapse(imports, actions);
}

function addSynapse(imports: Command, actions: Actions): void {
  imports
    .command('synapse')
    .description('copy the users, devices and tokens of a Synapse (docs/homeserver.md); it may be repeated')
    .requiredOption('--from <url>', 'the database of Synapse, which is only read: postgresql://…', synapseUrl)
    .option('--after <user>', 'begin behind this user ID, where an earlier import ended', lastImported)
    .option('--dry-run', 'only count what would be imported')
    .addHelpText('after', examples('import synapse --dry-run --from postgresql://synapse@localhost/synapse'))
    .action(
      actions.of(async (context, options: { from: string }) =>
        (await import('../commands/import-synapse.js')).importSynapse(context, options),
      ),
    );
}
