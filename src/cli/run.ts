import type { Additions } from '../composition.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { reasonOf } from './start-failure.js';
import { NotConfirmed } from './terminal.js';

const [FAILED, MISUSED] = [1, 2];

/**
 * Runs the command line `matrix-session`, for a service with your own modules: `serve` serves them, `migrate` runs
 * their migrations, and what ends sessions calls their listeners. Without a command it serves, and then ends the
 * process itself. Call it once in a process.
 *
 * @param words the arguments behind the name of the program
 * @returns the exit code: 0 done, 1 failed or something was found, 2 wrong use; errors are printed, not thrown
 *
 * @example
 * ```ts
 * import { runCommandLine } from 'matrix-session-service';
 *
 * const additions = { extensions: [PushersModule], migrations: [CreatePushers] };
 * process.exit(await runCommandLine(process.argv.slice(2), additions));
 * ```
 */
export async function runCommandLine(words: readonly string[], additions: Additions = {}): Promise<number> {
  // Loaded here, because most applications that import this package have no use for it.
  const [{ CommanderError }, { Actions }, { programOf, withCommand }, { addCompletion }] = await Promise.all([
    import('commander'),
    import('./context.js'),
    import('./program.js'),
    import('./completion.js'),
  ]);
  const actions = new Actions(additions);
  const program = programOf(actions);
  try {
    await addCompletion(program);
    await program.parseAsync(withCommand(program, words), { from: 'user' });
    return actions.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : MISUSED;
    tell(error, program.opts<{ json?: boolean }>().json === true);
    return FAILED;
  }
}

function tell(error: unknown, isJson: boolean): void {
  if (error instanceof MatrixError) {
    const { errcode, message } = error;
    console.error(isJson ? JSON.stringify({ errcode, error: message }) : `${message} (${errcode})`);
  } else if (error instanceof NotConfirmed) {
    console.error(error.message);
  } else {
    console.error(reasonOf(error, 'The command failed'));
  }
}
