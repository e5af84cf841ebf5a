import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

/** How a command ended. */
export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs commands of the built service, each in a process of its own, as an operator does. */
export function commandLine(variables: Readonly<Record<string, string>>) {
  const env = {
    PATH: process.env['PATH'],
    PASSWORD_HASH_MEMORY_KIB: '8192',
    PASSWORD_HASH_PASSES: '1',
    ...variables,
  };
  return (...words: string[]): Promise<Outcome> =>
    new Promise((resolve) => {
      const options = { env, cwd: tmpdir(), maxBuffer: 64 * 1024 ** 2 };
      const child = execFile(process.execPath, [main, ...words], options, (error, out, err) =>
        resolve({ code: error === null ? 0 : Number(error.code ?? -1), out, err }),
      );
      child.stdin?.end(variables['STDIN'] ?? '');
    });
}

/** The answer of a command that was asked for JSON, one line for each page. */
export function linesOf({ out }: Outcome): Record<string, unknown>[] {
  return out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
