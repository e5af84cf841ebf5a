import { type Command, Option } from 'commander';
import type { Actions } from '../context.js';
import { examples, paged } from './options.js';

/** Adds the commands of whoever is on call. */
export function addOperations(program: Command, actions: Actions): void {
  program
    .command('doctor')
    .description(
      'look for what keeps the service from running well, and say what to do; exit code 1 if something does',
    )
    .addHelpText('after', examples('doctor', 'doctor --json'))
    .action(actions.of(async (context) => (await import('../commands/doctor.js')).doctor(context)));
  program
    .command('config')
    .description('show every variable, its value and where that comes from; secrets are hidden')
    .option('--set', 'only those that are set')
    .addHelpText('after', examples('config --set', 'config --json'))
    .action(
      actions.of(async (context, options: object) =>
        (await import('../commands/config.js')).showConfig(context, options),
      ),
    );
  addEvents(program, actions);
  paged(program.command('audit').description('list the audit, the latest first'))
    .option('--user <user>', 'only entries about this user')
    .option('--action <action>', 'only entries of this action, such as refused')
    .addHelpText('after', examples('audit --user alice', 'audit --action refused --limit 20'))
    .action(
      actions.of(async (context, options: object) =>
        (await import('../commands/audit.js')).listAudit(context, options),
      ),
    );
  program
    .command('reconcile')
    .description('look for inconsistent rows; exit code 1 if some are left')
    .option('--repair', 'repair them')
    .addHelpText('after', examples('reconcile', 'reconcile --repair'))
    .action(
      actions.of(async (context, options: object) =>
        (await import('../commands/reconcile.js')).reconcile(context, options),
      ),
    );
  program
    .command('backup-check')
    .description('check that a restored database is whole (docs/backup.md); exit code 1 if it is not')
    .addHelpText('after', examples('backup-check'))
    .action(
      actions.of(async (context) => (await import('../commands/backup-check.js')).checkBackup(context)),
    );
}

function addEvents(program: Command, actions: Actions): void {
  const events = program.command('events').description('events that subscribers have not received');
  paged(events.command('list').description('list deliveries'))
    .addOption(
      new Option('--state <state>', 'in this state (default: buried)').choices([
        'buried',
        'pending',
        'delivered',
      ]),
    )
    .option('--subscriber <name>', 'only to this subscriber')
    .option('--event-id <id>', 'only of this event')
    .addHelpText('after', examples('events list', 'events list --state pending --subscriber webhook:billing'))
    .action(
      actions.of(async (context, options: object) =>
        (await import('../commands/events.js')).listEvents(context, options),
      ),
    );
  events
    .command('replay')
    .description('try the buried deliveries of a subscriber again, or one of them')
    .argument('<subscriber>')
    .argument('[event-id]')
    .addHelpText('after', examples('events replay webhook:billing'))
    .action(
      actions.of(async (context, subscriber: string, eventId: string | undefined) =>
        (await import('../commands/events.js')).replayEvents(context, subscriber, eventId),
      ),
    );
  events
    .command('discard')
    .description('forget a subscriber that will not come back, with what it has not received')
    .argument('<subscriber>')
    .addHelpText('after', examples('events discard webhook:billing'))
    .action(
      actions.of(async (context, subscriber: string) =>
        (await import('../commands/events.js')).discardEvents(context, subscriber),
      ),
    );
}
