import { EnvironmentError } from '../config/environment.js';
import { SchemaError } from '../database/schema-error.js';

/** Which variable causes an error of the operating system or of PostgreSQL, by error code. */
const BLAME: Readonly<Record<string, string>> = {
  EADDRINUSE: 'PORT is in use by another program',
  EADDRNOTAVAIL: 'HOST is no address of this machine',
  EACCES: 'PORT or DATA_DIR may not be used by this user',
  EEXIST: 'DATA_DIR must be a directory',
  ENOTDIR: 'DATA_DIR must be a directory',
  ECONNREFUSED: 'DATABASE_URL cannot be reached',
  ETIMEDOUT: 'DATABASE_URL cannot be reached',
  '42501': 'the role may not do this in the database',
  '28000': 'DATABASE_URL names a user that may not log in',
  '28P01': 'DATABASE_URL has a wrong password',
  '3D000': 'DATABASE_URL names a database that does not exist',
};

/** Why something failed: one line that says what to fix, or the stack if no such line is known. */
export function reasonOf(error: unknown, what = 'The start failed'): string {
  if (error instanceof SchemaError) return error.message;
  if (error instanceof EnvironmentError) return `The configuration is wrong:\n${error.message}`;
  if (!(error instanceof Error)) return `${what}: ${String(error)}`;
  // The error of `pg` when the server asks for a password and there is none.
  if (error.message.includes('client password must be a string'))
    return `${what}: DATABASE_URL has no password, and the database wants one (in the URL, or PGPASSWORD)`;
  const { code, syscall } = error as { code?: string; syscall?: string };
  const isLookup = code === 'ENOTFOUND' || code === 'EAI_AGAIN';
  const blame = isLookup ? 'HOST or DATABASE_URL names a host that is not known' : BLAME[code ?? ''];
  if (blame !== undefined) return `${what}: ${blame} (${error.message})`;
  return `${what}: ${syscall === undefined ? (error.stack ?? error.message) : error.message}`;
}
