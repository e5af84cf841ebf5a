import { z } from 'zod';

/** `host`, `host:port`, an IPv4 address or a bracketed IPv6 address (Matrix appendices, "Server name"). */
const SERVER_NAME = /^(\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z.-]{1,230})(:\d{1,5})?$/;

/** The value of `DATABASE_URL` that asks for the embedded server by name. */
const EMBEDDED = 'embedded';

function isUrl(value: string, protocols: string[]): boolean {
  return URL.canParse(value) && protocols.includes(new URL(value).protocol);
}

/**
 * Every variable the service reads. The description is its documentation: README's table is checked against it.
 * An empty value counts as unset.
 */
export const environmentSchema = z.object({
  HOST: z.string().default('127.0.0.1').describe('Address to listen on; 0.0.0.0 for every interface.'),
  PORT: z.coerce
    .number({ error: 'a whole number from 0 to 65535' })
    .int('a whole number from 0 to 65535')
    .min(0, 'a whole number from 0 to 65535')
    .max(65535, 'a whole number from 0 to 65535')
    .default(8008)
    .describe('TCP port to listen on; 0 takes a free one.'),
  SERVER_NAME: z
    .string()
    .regex(SERVER_NAME, 'a Matrix server name, such as example.org or example.org:8448')
    .default('localhost')
    .describe('The part after the colon of every user ID. It cannot change once users exist.'),
  PUBLIC_BASE_URL: z
    .string()
    .refine((value) => isUrl(value, ['http:', 'https:']), 'a URL that starts with http:// or https://')
    .optional()
    .describe('Where clients reach this service; told in /.well-known. Default: http://localhost:PORT.'),
  DATABASE_URL: z
    .string()
    .refine(
      (value) => value === EMBEDDED || isUrl(value, ['postgres:', 'postgresql:']),
      'a URL that starts with postgres:// or postgresql://, or the word "embedded"',
    )
    .optional()
    .describe(
      'The PostgreSQL (15 or newer) to use. Unset or "embedded": a server of its own, kept in DATA_DIR. ' +
        'With NODE_ENV=production the embedded server must be asked for by name.',
    ),
  DATABASE_POOL_SIZE: z.coerce
    .number({ error: 'a whole number from 2 to 200' })
    .int('a whole number from 2 to 200')
    .min(2, 'a whole number from 2 to 200')
    .max(200, 'a whole number from 2 to 200')
    .default(10)
    .describe('How many database connections one process holds at the most.'),
  DATA_DIR: z.string().default('./data').describe('Where the embedded PostgreSQL keeps its data.'),
  REGISTRATION: z
    .enum(['open', 'closed'], { error: '"open" or "closed"' })
    .optional()
    .describe(
      'Whether anyone may create an account. Default: open with the embedded database, closed otherwise.',
    ),
  ACCESS_TOKEN_TTL: z
    .string()
    .regex(/^[1-9]\d{0,8}(ms|s|m|h|d)$/, 'a duration such as 90s, 5m or 1h')
    .default('15m')
    .describe('Life of the access token of a client that uses refresh tokens; others do not expire.'),
  LOG_LEVEL: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace'], {
      error: 'one of fatal, error, warn, info, debug, trace',
    })
    .default('info')
    .describe('The least severe messages that are logged.'),
  NODE_ENV: z
    .string()
    .default('development')
    .describe('"production" logs JSON lines and refuses to fall back to the embedded database.'),
});

type Parsed = z.infer<typeof environmentSchema>;

const MILLISECONDS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

function milliseconds(duration: string): number {
  const unit = duration.replace(/\d+/, '') as keyof typeof MILLISECONDS;
  return Number.parseInt(duration, 10) * MILLISECONDS[unit];
}

/** The checked configuration of one process. Injectable by this class. */
export class Environment {
  readonly host: string;
  readonly port: number;
  readonly serverName: string;
  readonly publicBaseUrl: string;
  /** `null` means the embedded server. */
  readonly databaseUrl: string | null;
  readonly databasePoolSize: number;
  readonly dataDir: string;
  readonly registration: 'open' | 'closed';
  readonly accessTokenTtlMs: number;
  readonly logLevel: Parsed['LOG_LEVEL'];
  readonly production: boolean;

  /**
   * Reads and checks the variables.
   * @throws {EnvironmentError} naming each variable that is wrong and what it allows
   */
  static load(variables: Readonly<Record<string, string | undefined>>): Environment {
    const set = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''));
    const { success, data, error } = environmentSchema.safeParse(set);
    if (!success) {
      throw new EnvironmentError(
        error.issues.map((issue) => {
          const name = String(issue.path[0]);
          // A mistyped database URL may hold a password; it stays out of terminals and logs.
          const given = name === 'DATABASE_URL' ? '' : `, not ${JSON.stringify(variables[name])}`;
          return `${name} must be ${issue.message}${given}`;
        }),
      );
    }
    if (data.NODE_ENV === 'production' && data.DATABASE_URL === undefined) {
      throw new EnvironmentError([
        'DATABASE_URL must be set when NODE_ENV is production: a postgresql:// URL, or the word "embedded"',
      ]);
    }
    return new Environment(data);
  }

  private constructor(parsed: Parsed) {
    this.host = parsed.HOST;
    this.port = parsed.PORT;
    this.serverName = parsed.SERVER_NAME;
    this.publicBaseUrl = parsed.PUBLIC_BASE_URL ?? `http://localhost:${parsed.PORT}`;
    this.databaseUrl =
      parsed.DATABASE_URL === undefined || parsed.DATABASE_URL === EMBEDDED ? null : parsed.DATABASE_URL;
    this.databasePoolSize = parsed.DATABASE_POOL_SIZE;
    this.dataDir = parsed.DATA_DIR;
    this.registration = parsed.REGISTRATION ?? (this.databaseUrl === null ? 'open' : 'closed');
    this.accessTokenTtlMs = milliseconds(parsed.ACCESS_TOKEN_TTL);
    this.logLevel = parsed.LOG_LEVEL;
    this.production = parsed.NODE_ENV === 'production';
  }
}

/** The configuration is wrong; the message has one line for each variable to mend. */
export class EnvironmentError extends Error {
  constructor(readonly problems: string[]) {
    super(problems.join('\n'));
    this.name = 'EnvironmentError';
  }
}
