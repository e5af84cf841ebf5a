import { readFileSync } from 'node:fs';

/** Variables whose values are secrets. Errors do not repeat them, and a file may hold each of them. */
export const SECRETS = [
  'DATABASE_URL',
  'NATS_URL',
  'REGISTRATION_TOKENS',
  'WEBHOOK_SECRET',
  'PASSWORD_BCRYPT_PEPPER',
  'HOMESERVER_SECRET',
  'ADMIN_TOKEN',
  'OTEL_EXPORTER_OTLP_HEADERS',
] as const;

const END = '_FILE';

/** The names of the variables that name such files. */
export const SECRET_FILES: readonly string[] = SECRETS.map((name) => name + END);

type Variables = Readonly<Record<string, string | undefined>>;

/** Variables with the secrets that files hold. */
export interface WithSecrets {
  readonly variables: Variables;
  /** What is wrong with the files. */
  readonly problems: readonly string[];
  /** The secrets that were read from a file. */
  readonly fromFiles: ReadonlySet<string>;
}

/** Reads the secrets that files hold, without white space at their ends: `NATS_URL_FILE` names that of `NATS_URL`. */
export function withSecretFiles(variables: Variables): WithSecrets {
  const read: Record<string, string> = {};
  const problems: string[] = [];
  for (const name of SECRETS) {
    const file = variables[name + END];
    if (file === undefined) continue;
    if (variables[name] !== undefined) problems.push(`${name} and ${name}${END} must not both be set`);
    try {
      read[name] = readFileSync(file, 'utf8').trim();
      if (read[name] === '') problems.push(`${name}${END} must hold a secret, and the file is empty`);
    } catch (error) {
      problems.push(`${name}${END} cannot be read: ${(error as Error).message}`);
    }
  }
  return { variables: { ...variables, ...read }, problems, fromFiles: new Set(Object.keys(read)) };
}
