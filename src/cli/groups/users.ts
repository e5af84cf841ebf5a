import { type Command, Option } from 'commander';
import { futureTime, pastTime, wholeNumber } from '../arguments.js';
import type { Actions } from '../context.js';
import { examples, KINDS, paged, TIMES } from './options.js';

const USER = 'a user ID, or its localpart';
const load = () => import('../commands/users.js');

/** Adds the commands for accounts and registration tokens. */
export function addUsers(program: Command, actions: Actions): void {
  const users = program.command('users').description('accounts');
  paged(users.command('list').description('list users, in the order of user IDs'))
    .option('--search <text>', 'the user ID contains this text')
    .addOption(
      new Option('--state <state>', 'in this state').choices([
        'active',
        'locked',
        'suspended',
        'deactivated',
      ]),
    )
    .addOption(new Option('--kind <kind>', 'of this kind').choices(KINDS))
    .option('--admin', 'only administrators')
    .option('--no-admin', 'only others')
    .option('--created-before <time>', 'created before this time', pastTime)
    .option('--created-after <time>', 'created after this time', pastTime)
    .option('--seen-before <time>', 'no device was seen since then', pastTime)
    .option('--seen-after <time>', 'a device was seen since then', pastTime)
    .addHelpText(
      'after',
      TIMES + examples('users list --state locked', 'users list --seen-before 365d --all --json'),
    )
    .action(actions.of(async (context, options: object) => (await load()).listUsers(context, options)));
  users
    .command('show')
    .description('show a user')
    .argument('<user>', USER)
    .addHelpText('after', examples('users show alice'))
    .action(actions.of(async (context, user: string) => (await load()).showUser(context, user)));
  withPassword(
    users
      .command('create')
      .description('create a user, whatever REGISTRATION says, and show the password that is made up')
      .argument('<localpart>'),
  )
    .option('--without-password', 'make none up: nobody can log in yet')
    .option('--admin', 'make the user an administrator')
    .addHelpText(
      'after',
      examples('users create alice --admin', 'users create bob --password-stdin < bob.txt'),
    )
    .action(
      actions.of(async (context, name: string, options: object) =>
        (await load()).createUser(context, name, options),
      ),
    );
  withPassword(
    users
      .command('set-password')
      .description(
        'set a password, or show one that is made up; all sessions of the user end in the same commit',
      )
      .argument('<user>', USER),
  )
    .option('--keep-sessions', 'end none')
    .option('--dry-run', 'only show which sessions would end')
    .addHelpText('after', examples('users set-password alice', 'users set-password alice --keep-sessions'))
    .action(
      actions.of(async (context, user: string, options: object) =>
        (await load()).setPassword(context, user, options),
      ),
    );
  users
    .command('deactivate')
    .description('deactivate a user for good: every session, device and key ends in the same commit')
    .argument('<user>', USER)
    .option('--erase', 'ask the homeserver to erase what it can')
    .option('--reason <text>', 'why, for the audit')
    .option('--dry-run', 'only show which sessions would end')
    .addHelpText('after', examples('users deactivate mallory --dry-run'))
    .action(
      actions.of(async (context, user: string, options: object) =>
        (await load()).deactivateUser(context, user, options),
      ),
    );
  users
    .command('logout')
    .description('end all sessions of a user in one commit, or that of one device')
    .argument('<user>', USER)
    .option('--device <device>', 'only the session of this device')
    .option('--reason <text>', 'why, for the audit')
    .option('--dry-run', 'only show which sessions would end')
    .addHelpText('after', examples('users logout alice', 'users logout alice --device ABCDEFGHIJ'))
    .action(
      actions.of(async (context, user: string, options: object) =>
        (await load()).logoutUser(context, user, options),
      ),
    );
  addStates(users, actions);
  addTokens(program, actions);
}

/** What may be done to a user and undone. */
function addStates(users: Command, actions: Actions): void {
  const states = [
    ['lock', 'refuse the user everything but logging out; sessions stay', ['lock', true]],
    ['unlock', 'undo it', ['lock', false]],
    ['suspend', 'let the user do nothing to others', ['suspend', true]],
    ['unsuspend', 'undo it', ['suspend', false]],
  ] as const;
  for (const [name, description, [restriction, isOn]] of states)
    users
      .command(name)
      .description(description)
      .argument('<user>', USER)
      .addHelpText('after', examples(`users ${name} mallory`))
      .action(
        actions.of(async (context, user: string) =>
          (await load()).restrict(restriction, isOn)(context, user),
        ),
      );
  for (const [name, description, isAdmin] of [
    ['grant-admin', 'make a user an administrator', true],
    ['revoke-admin', 'undo it', false],
  ] as const)
    users
      .command(name)
      .description(description)
      .argument('<user>', USER)
      .addHelpText('after', examples(`users ${name} alice`))
      .action(actions.of(async (context, user: string) => (await load()).setAdmin(isAdmin)(context, user)));
}

function addTokens(program: Command, actions: Actions): void {
  const loadTokens = () => import('../commands/tokens.js');
  const tokens = program.command('tokens').description('registration tokens');
  paged(tokens.command('list').description('list them'))
    .addHelpText('after', examples('tokens list'))
    .action(
      actions.of(async (context, options: object) => (await loadTokens()).listTokens(context, options)),
    );
  tokens
    .command('show')
    .description('show one')
    .argument('<token>')
    .addHelpText('after', examples('tokens show wonderland'))
    .action(actions.of(async (context, token: string) => (await loadTokens()).showToken(context, token)));
  withTerms(tokens.command('create').description('make one'))
    .option('--token <token>', 'its text (default: one is made up)')
    .addHelpText('after', examples('tokens create --uses 1 --expires 7d'))
    .action(
      actions.of(async (context, options: object) => (await loadTokens()).createToken(context, options)),
    );
  withTerms(
    tokens.command('change').description('change how often and how long it may be used').argument('<token>'),
  )
    .addHelpText(
      'after',
      examples('tokens change wonderland --uses 10', 'tokens change wonderland --expires never'),
    )
    .action(
      actions.of(async (context, token: string, options: object) =>
        (await loadTokens()).changeToken(context, token, options),
      ),
    );
  tokens
    .command('revoke')
    .description('let nobody register with it any more')
    .argument('<token>')
    .addHelpText('after', examples('tokens revoke wonderland'))
    .action(actions.of(async (context, token: string) => (await loadTokens()).revokeToken(context, token)));
}

function withPassword(command: Command): Command {
  return command
    .option('--password-file <file>', 'take the password from this file')
    .option('--password-stdin', 'take the password from the standard input');
}

function withTerms(command: Command): Command {
  return command
    .option('--uses <number>', 'how many accounts it may make, or any', (text) =>
      text === 'any' ? text : wholeNumber(text),
    )
    .option('--expires <time>', 'when it ends: a time, how long from now (7d), or never', (text) =>
      text === 'never' ? text : futureTime(text),
    );
}
