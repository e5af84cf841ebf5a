import type { Command } from 'commander';
import { collected, pastTime } from '../arguments.js';
import type { EndOptions } from '../commands/sessions.js';
import type { Actions } from '../context.js';
import { examples, paged, sessionConditions, TIMES } from './options.js';

const load = () => import('../commands/sessions.js');

/** Adds the commands for sessions, devices, and the jobs that end many. */
export function addSessions(program: Command, actions: Actions): void {
  const sessions = program.command('sessions').description('sessions of all users');
  paged(
    sessionConditions(sessions.command('list').description('list the sessions that meet every condition')),
  )
    .addHelpText(
      'after',
      TIMES + examples('sessions list --user alice', 'sessions list --address 192.0.2.0/24 --all'),
    )
    .action(actions.of(async (context, options: object) => (await load()).listSessions(context, options)));
  sessionConditions(
    sessions
      .command('end')
      .description('end all sessions that meet every condition, and wait until they have ended'),
  )
    .option('--all', 'needed to end sessions without any condition')
    .option(
      '--except <session>',
      'but not those of this user, or this user/device; may be repeated',
      collected,
    )
    .option('--reason <text>', 'why, for the audit')
    .option('--detach', 'do not wait')
    .option('--dry-run', 'only show which sessions would end')
    .addHelpText(
      'after',
      TIMES +
        examples(
          'sessions end --seen-before 365d --dry-run',
          'sessions end --user alice --except @alice:example.org/ABCDEFGHIJ --reason "lost phone"',
          'sessions end --all --except admin --yes',
        ),
    )
    .action(actions.of(async (context, options: EndOptions) => (await load()).endSessions(context, options)));
  sessions
    .command('end-stale')
    .description(
      'end all sessions that were begun or last refreshed before a time, after a restore (docs/backup.md)',
    )
    .requiredOption('--before <time>', 'this time', pastTime)
    .option('--reason <text>', 'why, for the audit')
    .option('--dry-run', 'only show which sessions would end')
    .addHelpText('after', TIMES + examples('sessions end-stale --before 2026-01-31T12:00:00Z'))
    .action(
      actions.of(async (context, options: { before: number }) =>
        (await load()).endStaleSessions(context, options),
      ),
    );
  addDevices(program, actions);
  addJobs(program, actions);
}

function addDevices(program: Command, actions: Actions): void {
  const devices = program.command('devices').description('the devices of a user');
  devices
    .command('list')
    .description('list them')
    .argument('<user>')
    .addHelpText('after', examples('devices list alice'))
    .action(
      actions.of(async (context, user: string) =>
        (await import('../commands/devices.js')).listDevices(context, user),
      ),
    );
  devices
    .command('delete')
    .description('delete a device with its tokens and keys, in one commit')
    .argument('<user>')
    .argument('<device>')
    .option('--dry-run', 'only show what would end')
    .addHelpText('after', examples('devices delete alice ABCDEFGHIJ'))
    .action(
      actions.of(async (context, user: string, device: string, options: object) =>
        (await import('../commands/devices.js')).deleteDevice(context, user, device, options),
      ),
    );
}

function addJobs(program: Command, actions: Actions): void {
  const loadJobs = () => import('../commands/jobs.js');
  const jobs = program.command('jobs').description('jobs that end sessions');
  paged(jobs.command('list').description('list them, the latest first'))
    .addHelpText('after', examples('jobs list'))
    .action(actions.of(async (context, options: object) => (await loadJobs()).listJobs(context, options)));
  for (const [name, description] of [
    ['show', 'show how far a job is'],
    ['cancel', 'stop a job: what has ended stays ended'],
    ['resume', 'go on with a job where it was, and wait until it is done'],
  ] as const)
    jobs
      .command(name)
      .description(description)
      .argument('<job>')
      .addHelpText('after', examples(`jobs ${name} job_0mig5h8ah_3fc1a2b49d07`))
      .action(actions.of(async (context, jobId: string) => (await loadJobs())[`${name}Job`](context, jobId)));
}
