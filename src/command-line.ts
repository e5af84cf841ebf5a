import { parseArgs } from 'node:util';
import { PRODUCT } from './system/product.js';

/** What a command line asks for. */
export type Command =
  | { readonly name: 'serve'; readonly envFile: string | null }
  /** Something is to be printed, and nothing else done. */
  | { readonly name: 'say'; readonly words: string; readonly exitCode: number }
  | {
      readonly name: 'import';
      /** The database of Synapse. */
      readonly from: string;
      readonly after: string;
      readonly dryRun: boolean;
      /** A file with variables; `null`: `.env`, if there is one. */
      readonly envFile: string | null;
    };

const HELP = `Usage: matrix-session [--env-file FILE]
       matrix-session import synapse --from URL [--after USER] [--dry-run] [--env-file FILE]
       matrix-session --help | --version

Serves the sessions of Matrix users. Everything is set by environment variables, which docs/configuration.md lists.
Without any, it serves http://localhost:8008 on a PostgreSQL of its own, with its data in ./data. From a checkout, the
command is node dist/main.js.

  PORT=8448 SERVER_NAME=example.org DATABASE_URL=postgresql://… matrix-session

"import synapse" copies the users, devices and tokens of a Synapse into the database of this service, which the same
variables name (docs/homeserver.md). It only reads the database of Synapse, and may be repeated.

Options:
  -h, --help     show this
  -v, --version  show the version
      --env-file read variables from this file; default: .env, if there is one. Those that are set already stay.
      --from     the database of Synapse: postgresql://…
      --after    begin behind this user ID, where an earlier import ended
      --dry-run  only count what would be imported`;

/** Reads the words behind the name of the program. */
export function readCommandLine(words: string[]): Command {
  try {
    const { values, positionals } = parseArgs({
      args: words,
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean', short: 'v' },
        'env-file': { type: 'string' },
        from: { type: 'string' },
        after: { type: 'string' },
        'dry-run': { type: 'boolean' },
      },
    });
    if (values.help) return { name: 'say', words: HELP, exitCode: 0 };
    if (values.version) return { name: 'say', words: PRODUCT.version, exitCode: 0 };
    const { from, after = '', 'dry-run': dryRun = false, 'env-file': envFile = null } = values;
    if (positionals.join(' ') === 'import synapse') {
      if (from === undefined || !/^postgres(?:ql)?:\/\//.test(from))
        return misused('--from must name the database of Synapse: postgresql://…');
      if (after !== '' && !/^@.+:.+$/.test(after))
        return misused('--after must be a user ID: @alice:example.org');
      return { name: 'import', from, after, dryRun, envFile };
    }
    const [stranger] = positionals;
    if (stranger !== undefined) return misused(`There is no command ${positionals.join(' ')}`);
    if (from !== undefined || after !== '' || dryRun)
      return misused('--from, --after and --dry-run belong to "import synapse"');
    return { name: 'serve', envFile };
  } catch (error) {
    return misused((error as Error).message);
  }
}

function misused(what: string): Command {
  return { name: 'say', words: `${what}\n\n${HELP}`, exitCode: 2 };
}
