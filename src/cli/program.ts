import { Command } from 'commander';
import { PRODUCT } from '../system/product.js';
import type { Actions } from './context.js';
import { addOperations } from './groups/operations.js';
import { addServing } from './groups/serving.js';
import { addSessions } from './groups/sessions.js';
import { addUsers } from './groups/users.js';

const ABOUT = `Serves the sessions of Matrix users, and is the tool of whoever operates it.

Everything is set by environment variables, which docs/configuration.md lists. \
Without any, it serves http://localhost:8008 on a PostgreSQL of its own, with its data in ./data. \
The other commands use the same variables. They work on the database itself, whether the service runs or not.`;

const EXAMPLES = `
Examples:
  matrix-session
  PORT=8448 SERVER_NAME=example.org DATABASE_URL=postgresql://… matrix-session
  matrix-session doctor
  matrix-session users create alice --admin
  matrix-session sessions end --user-agent Element/1.0 --dry-run
  source <(matrix-session completion bash)

Without a command, it serves. Exit codes: 0 done, 1 failed or something was found, 2 wrong use.
From a checkout: npm run -s cli -- doctor`;

/** The command line. */
export function programOf(actions: Actions): Command {
  const program = new Command('matrix-session')
    .description(ABOUT)
    .version(PRODUCT.version, '-v, --version', 'show the version')
    .helpOption('-h, --help', 'show help')
    .option(
      '--env-file <file>',
      'read variables from this file, but not over those that are set; default: .env',
    )
    .option('--json', 'print JSON, for scripts')
    .option('-y, --yes', 'answer every question with yes')
    .addHelpText('after', EXAMPLES)
    .showHelpAfterError('Try --help.')
    .helpCommand(false)
    .configureHelp({ showGlobalOptions: true })
    .exitOverride();
  program.commandsGroup('The service:');
  addServing(program, actions);
  program.commandsGroup('Operating it:');
  addOperations(program, actions);
  program.commandsGroup('Users and sessions:');
  addUsers(program, actions);
  addSessions(program, actions);
  return program;
}

/** The words with the command that is meant if there is none. */
export function withCommand(program: Command, words: readonly string[]): string[] {
  const asksHelp = words.some((word) => ['-h', '--help'].includes(word));
  const { operands } = program.parseOptions([...words]);
  return operands.length === 0 && !asksHelp ? ['serve', ...words] : [...words];
}
