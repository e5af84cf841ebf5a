import { parseArgs } from 'node:util';
import { PRODUCT } from './system/product.js';

/** The output and exit code of a command line that does not start the service. */
export interface CommandLineAnswer {
  readonly words: string;
  readonly exitCode: number;
}

const HELP = `Usage: node dist/main.js [-h | --help] [-v | --version]

Serves the sessions of Matrix users. Everything is set by environment variables, which README.md lists; without any,
it serves http://localhost:8008 on a PostgreSQL of its own, with its data in ./data.

  PORT=8448 SERVER_NAME=example.org DATABASE_URL=postgresql://… node dist/main.js

Options:
  -h, --help     show this
  -v, --version  show the version`;

/** Handles `--help`, `--version` and invalid options; `null` if the service should start. */
export function readCommandLine(words: string[]): CommandLineAnswer | null {
  try {
    const { values } = parseArgs({
      args: words,
      options: { help: { type: 'boolean', short: 'h' }, version: { type: 'boolean', short: 'v' } },
    });
    if (values.help) return { words: HELP, exitCode: 0 };
    if (values.version) return { words: PRODUCT.version, exitCode: 0 };
    return null;
  } catch (error) {
    return { words: `${(error as Error).message}\n\n${HELP}`, exitCode: 2 };
  }
}
