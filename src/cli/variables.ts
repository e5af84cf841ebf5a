import { existsSync } from 'node:fs';

/** The variables of a process, with those of a file. */
export interface Variables {
  readonly values: Readonly<Record<string, string | undefined>>;
  /** The file, and which variables come from it. */
  readonly file: string | null;
  readonly fromFile: ReadonlySet<string>;
}

/**
 * Adds the variables of a file to those that are set, which stay as they are.
 * @param envFile `null`: `.env`, if there is one
 */
export function withEnvFile(envFile: string | null): Variables {
  const set = new Set(Object.keys(process.env));
  const file = envFile ?? (existsSync('.env') ? '.env' : null);
  if (file !== null) {
    try {
      process.loadEnvFile(file);
    } catch (error) {
      throw new Error(`--env-file cannot be read: ${(error as Error).message}`, { cause: error });
    }
  }
  const fromFile = Object.keys(process.env).filter((name) => !set.has(name));
  return { values: process.env, file, fromFile: new Set(fromFile) };
}
