import { availableParallelism } from 'node:os';
import proxyAddress from 'proxy-addr';
import * as z from 'zod';
import { duration, interval, milliseconds } from './durations.js';
import { homeserverOf, type HomeserverSettings, homeserverVariables, problemsOf } from './homeserver.js';
import { type Limits, limitsOf, limitVariables } from './limits.js';
import { oauthOf, oauthProblemsOf, type OAuthSettings, oauthVariables } from './oauth.js';
import { SECRET_FILES, SECRETS, withSecretFiles } from './secrets.js';
import { type Misspelt, misspeltIn } from './misspelt.js';
import { type TracingSettings, tracingOf, tracingVariables } from './tracing.js';
import { type RateLimit, rateLimitsOf, rateLimitVariables } from './rate-limits.js';

const { compile: compileProxyList } = proxyAddress;

/** `host`, `host:port`, an IPv4 address or a bracketed IPv6 address (Matrix appendices, "Server name"). */
const SERVER_NAME = /^(\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z.-]{1,230})(:\d{1,5})?$/;

/** Whether Express accepts the value for `trust proxy`: a number of hops, or addresses, subnets and network names. */
function isProxyList(value: string): boolean {
  if (/^\d{1,2}$/.test(value)) return true;
  try {
    compileProxyList(list(value));
    return true;
  } catch {
    return false;
  }
}

/** A name and a value that may stand in a `SET` command. */
const DATABASE_SETTING = /^[a-z_]+(?:\.[a-z_]+)?=[\w.-]+$/;

/** Settings that decide what a commit means, how long statements may take, and which tables are meant. */
const OWN_SETTINGS: ReadonlySet<string> = new Set([
  'default_transaction_isolation',
  'default_transaction_read_only',
  'idle_in_transaction_session_timeout',
  'lock_timeout',
  'role',
  'search_path',
  'session_authorization',
  'session_replication_role',
  'statement_timeout',
  'synchronous_commit',
  'transaction_timeout',
]);

/** From the most to the least severe. */
export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;

/** The value of `DATABASE_URL` that asks for the embedded server by name. */
const EMBEDDED = 'embedded';

function isUrl(value: string, protocols: string[]): boolean {
  return URL.canParse(value) && protocols.includes(new URL(value).protocol);
}

/** Subscribers report once a minute that they are still there, and must not be forgotten in between. */
const SHORTEST_EVENT_RETENTION_MS = 10 * 60_000;

function wholeNumber(min: number, max: number) {
  const error = `a whole number from ${min} to ${max}`;
  return z.coerce.number({ error }).int(error).min(min, error).max(max, error);
}

/**
 * Every variable that the service reads. The descriptions are the documentation; a test checks docs/configuration.md.
 * An empty value counts as unset.
 */
export const environmentSchema = z.object({
  HOST: z.string().default('127.0.0.1').describe('Address to listen on; 0.0.0.0 for every interface.'),
  PORT: wholeNumber(0, 65_535).default(8008).describe('TCP port to listen on; 0 takes a free one.'),
  WORKERS: z
    .string()
    .regex(/^(?:auto|[1-9]\d?)$/, '"auto" or a whole number from 1 to 99')
    .default('1')
    .describe(
      'How many processes serve on the port, each with a pool of its own; "auto": one for each core. For "matrix-session serve" only.',
    ),
  SERVER_NAME: z
    .string()
    .regex(SERVER_NAME, 'a Matrix server name, such as example.org or example.org:8448')
    .default('localhost')
    .describe('The part after the colon of every user ID. It cannot change once users exist.'),
  PUBLIC_BASE_URL: z
    .string()
    .refine((value) => isUrl(value, ['http:', 'https:']), 'a URL that starts with http:// or https://')
    .optional()
    .describe(
      'Base URL under which clients reach this service, as /.well-known gives it. Default: http://localhost:PORT.',
    ),
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
  DATABASE_POOL_SIZE: wholeNumber(2, 200)
    .default(10)
    .describe('Maximum number of database connections of one process.'),
  DATABASE_SETTINGS: z
    .string()
    .refine(
      (value) => list(value).every((item) => DATABASE_SETTING.test(item)),
      'settings of PostgreSQL such as plan_cache_mode=auto, without spaces and separated by commas',
    )
    .refine(
      (value) => !list(value).some((item) => OWN_SETTINGS.has(item.split('=')[0]!)),
      `settings other than those that the promises of the service depend on`,
    )
    .optional()
    .describe(
      'Settings of PostgreSQL for each connection, separated by commas, such as plan_cache_mode=auto. They replace plan_cache_mode, jit and enable_seqscan, which the service sets.',
    ),
  DATABASE_SHARED_BY: z
    .enum(['all', 'user'], { error: '"all" or "user"' })
    .default('all')
    .describe(
      'Whose requests share transactions and look-ups if they come at the same time: all, or those of the same user (for a PostgreSQL that is distributed by user).',
    ),
  DATABASE_SHARED_LOCK_TIMEOUT: duration({
    min: 1,
    max: 10_000,
    examples: '20ms or 1s',
    bounds: 'at most 10 seconds',
  })
    .default('20ms')
    .describe('How long a shared transaction waits for a lock; then its requests are tried one by one.'),
  MIGRATE: z
    .enum(['on', 'off'], { error: '"on" or "off"' })
    .default('on')
    .describe(
      'Whether a start brings the schema up to date. With "off" it needs no right to change it: "matrix-session migrate" does that, and a start with another schema is refused.',
    ),
  DATA_DIR: z.string().default('./data').describe('Where the embedded PostgreSQL keeps its data.'),
  REGISTRATION: z
    .enum(['open', 'token', 'closed'], { error: '"open", "token" or "closed"' })
    .optional()
    .describe(
      'Who may create an account: anyone (open), holders of a registration token (token) or nobody (closed). Default: open with the embedded database outside production, otherwise closed.',
    ),
  REGISTRATION_TOKENS: z
    .string()
    .regex(/^[\w.~-]{1,64}(,[\w.~-]{1,64})*$/, 'tokens of 1 to 64 of 0-9A-Za-z._~-, separated by commas')
    .optional()
    .describe(
      'Registration tokens for REGISTRATION=token that are valid without end, separated by commas. Administrators may make others.',
    ),
  GUESTS: z
    .enum(['allowed', 'refused'], { error: '"allowed" or "refused"' })
    .default('refused')
    .describe('Whether guests may register.'),
  PASSWORD_MIN_LENGTH: wholeNumber(1, 512)
    .default(8)
    .describe(
      'Minimum length of a new password; passwords that are easily guessed are refused at any length.',
    ),
  PASSWORD_HASH_MEMORY_KIB: wholeNumber(8_192, 1_048_576)
    .default(19_456)
    .describe(
      'Memory of one argon2id hash, in KiB. A login replaces a hash that was made with other settings.',
    ),
  PASSWORD_HASH_PASSES: wholeNumber(1, 20).default(2).describe('Passes of one argon2id hash.'),
  PASSWORD_HASH_QUEUE: wholeNumber(1, 10_000)
    .default(64)
    .describe('How many passwords may wait to be hashed; further requests get 429.'),
  PASSWORD_BCRYPT_PEPPER: z
    .string()
    .optional()
    .describe(
      'Pepper of the bcrypt hashes that were imported from Synapse (password_config.pepper there). Default: none.',
    ),
  SERVER_ADMINS: z
    .string()
    .regex(/^@[^:,]+:[^,]+(,@[^:,]+:[^,]+)*$/, 'user IDs, separated by commas')
    .optional()
    .describe(
      'User IDs of server administrators, separated by commas. While REGISTRATION=open, nobody can register these names.',
    ),
  ADMIN_TOKEN: z
    .string()
    .regex(/^[\w.~+/=-]{24,512}$/, 'a token of 24 to 512 of 0-9A-Za-z._~+/=-')
    .optional()
    .describe(
      'Token that the endpoints for administrators accept besides that of an administrator, for a first administrator and for scripts. Default: none.',
    ),
  APPSERVICE_FILES: z
    .string()
    .optional()
    .describe('Registration files of application services (YAML), separated by commas.'),
  ACCESS_TOKEN_TTL: duration()
    .default('15m')
    .describe(
      'Lifetime of the access token of a client that uses refresh tokens; other access tokens do not expire.',
    ),
  REFRESH_TOKEN_IDLE_TTL: duration()
    .optional()
    .describe(
      'How long a session may go without a refresh before its refresh token expires. Default: no limit.',
    ),
  REFRESH_TOKEN_TTL: duration()
    .optional()
    .describe('How long after its login a session may be refreshed. Default: no limit.'),
  REFRESH_REPLAY_GRACE: duration()
    .default('60s')
    .describe(
      'How long after the first use of its successor a refresh token is only refused; later use counts as theft and ends the session.',
    ),
  LAST_SEEN_INTERVAL: interval()
    .default('1m')
    .describe('How often the last-seen times of devices are written to the database.'),
  DEVICE_LIST_RETENTION: duration()
    .default('90d')
    .describe('How long device-list changes are kept for /keys/changes.'),
  BACKGROUND: z
    .enum(['on', 'off'], { error: '"on" or "off"' })
    .default('on')
    .describe(
      'Whether this process also delivers events, works on jobs and removes old rows. With "off" it only serves requests, and some other process must do all that.',
    ),
  EVENT_POLL_INTERVAL: interval()
    .default('5s')
    .describe('How often a node looks for events that are due, such as those another node left undelivered.'),
  EVENT_LISTENER_TIMEOUT: interval()
    .default('15s')
    .describe(
      'Time limit for the listeners of an event, and for one SQL statement; then the transaction is rolled back.',
    ),
  EVENT_DELIVERY_TIMEOUT: interval().default('10s').describe('Time limit for one delivery of an event.'),
  EVENT_MAX_ATTEMPTS: wholeNumber(1, 1_000)
    .default(30)
    .describe(
      'Failed attempts after which a delivery is given up (buried); 30 attempts take about 14 hours.',
    ),
  EVENT_RETENTION: duration({ min: SHORTEST_EVENT_RETENTION_MS, bounds: 'from ten minutes to ten years' })
    .default('7d')
    .describe('How long delivered events are kept, and undelivered ones of a subscriber that is on no node.'),
  EVENT_BURIED_RETENTION: duration()
    .default('90d')
    .describe('How long a buried delivery is kept for an administrator to replay it.'),
  AUDIT: z
    .enum(['on', 'off'], { error: '"on" or "off"' })
    .default('on')
    .describe('Whether logins, ends of sessions and refusals are recorded for administrators.'),
  AUDIT_RETENTION: duration().default('90d').describe('How long the audit keeps its entries.'),
  WEBHOOKS_FILE: z
    .string()
    .optional()
    .describe('YAML file with the webhooks that events are posted to. Default: none.'),
  WEBHOOK_SECRET: z
    .string()
    .optional()
    .describe('Secret (whsec_ and base64) that signs the requests of webhooks without a secret_file.'),
  WEBHOOK_SCHEMES: z
    .string()
    .regex(/^https?(,https?)?$/, '"https", "http" or both, separated by a comma')
    .default('https')
    .describe('URL schemes that webhooks may have.'),
  ...oauthVariables,
  ...homeserverVariables,
  RECONCILE: z
    .enum(['repair', 'dry_run', 'off'], { error: '"repair", "dry_run" or "off"' })
    .default('repair')
    .describe(
      'Whether the reconciler repairs inconsistent rows (docs/operating.md), only reports them, or does not run.',
    ),
  RECONCILE_INTERVAL: interval().default('10m').describe('How often the reconciler runs.'),
  DEVICE_WITHOUT_TOKEN_TTL: duration()
    .default('365d')
    .describe('How long a device is kept after its last token has expired.'),
  METRICS_PORT: wholeNumber(0, 65_535)
    .optional()
    .describe('TCP port that serves /metrics for Prometheus. Default: none.'),
  METRICS_HOST: z.string().default('127.0.0.1').describe('Address to serve /metrics on.'),
  ...tracingVariables,
  NATS_URL: z
    .string()
    .refine((value) => isUrl(value, ['nats:', 'tls:']), 'a URL that starts with nats:// or tls://')
    .optional()
    .describe(
      'NATS server to publish every event on; user:password or a token may stand before the @. Default: none.',
    ),
  NATS_SUBJECT_PREFIX: z
    .string()
    .regex(/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/, 'words of A-Z, a-z, 0-9, _ and -, separated by dots')
    .default('matrix.session')
    .describe('Prefix of the subjects of events, before .devices.deleted and so on.'),
  NATS_JETSTREAM: z
    .enum(['on', 'off'], { error: '"on" or "off"' })
    .default('off')
    .describe('With "on", an event counts as delivered when a JetStream stream has stored it.'),
  TRUST_PROXY: z
    .string()
    .refine(isProxyList, 'a number of hops, or addresses and subnets separated by commas')
    .optional()
    .describe(
      'Proxies whose X-Forwarded-For is trusted: a number of hops, or addresses and subnets separated by commas. Default: none.',
    ),
  KEEP_ALIVE_TIMEOUT: interval()
    .default('95s')
    .describe(
      'How long an idle HTTP connection stays open; it must be longer than the idle timeout of proxies in front.',
    ),
  REQUEST_TIMEOUT: interval()
    .default('30s')
    .describe('Time limit for a request to arrive, including its body.'),
  MAX_CONNECTIONS: wholeNumber(10, 1_000_000)
    .default(10_000)
    .describe('How many HTTP connections one process holds open; those beyond get 503 and are closed.'),
  READY_MAX_LAG: duration()
    .optional()
    .describe('How long an event may wait for its delivery before /health/ready says no. Default: no limit.'),
  SHUTDOWN_DELAY: interval()
    .optional()
    .describe(
      'How long a node still serves requests after SIGTERM, while /health/ready says no, so that load balancers take it out first. Default: none.',
    ),
  API_DOCS: z
    .enum(['on', 'off'], { error: '"on" or "off"' })
    .optional()
    .describe('Whether Swagger UI is served at /docs. Default: on, but off when NODE_ENV is production.'),
  ...limitVariables,
  ...rateLimitVariables,
  LOG_LEVEL: z
    .enum(LOG_LEVELS, { error: `one of ${LOG_LEVELS.join(', ')}` })
    .default('info')
    .describe('The least severe messages that are logged.'),
  NODE_ENV: z
    .string()
    .default('development')
    .describe(
      '"production" logs JSON lines, closes registration and Swagger UI unless they are asked for, and refuses to fall back to the embedded database.',
    ),
});

type Parsed = z.infer<typeof environmentSchema>;

/** An error about one of these variables does not repeat its value, which would get into terminals and logs. */
const MAY_HOLD_SECRETS: ReadonlySet<string> = new Set<keyof Parsed>(SECRETS);

function list(value: string | undefined): string[] {
  return value === undefined ? [] : value.split(',').map((item) => item.trim());
}

/**
 * The checked configuration of one process. It is injected by this class.
 *
 * @example
 * ```ts
 * const environment = Environment.load({ ...process.env, REGISTRATION: 'closed' });
 * ```
 */
export class Environment {
  readonly host: string;
  readonly port: number;
  /** How many processes `serve` starts. */
  readonly workers: number;
  readonly serverName: string;
  readonly publicBaseUrl: string;
  /** `null` means the embedded server. */
  readonly databaseUrl: string | null;
  readonly databasePoolSize: number;
  readonly databaseSettings: Readonly<Record<string, string>>;
  readonly databaseSharing: { readonly across: 'all' | 'user'; readonly lockTimeoutMs: number };
  /** Whether a start brings the schema up to date. */
  readonly migrate: boolean;
  readonly dataDir: string;
  readonly registration: 'open' | 'token' | 'closed';
  readonly registrationTokens: readonly string[];
  readonly guestsAllowed: boolean;
  readonly passwordMinLength: number;
  readonly passwordHashing: {
    readonly memoryKib: number;
    readonly passes: number;
    readonly queue: number;
    readonly bcryptPepper: string;
  };
  readonly serverAdmins: readonly string[];
  /** `null`: there is none. */
  readonly adminToken: string | null;
  readonly appserviceFiles: readonly string[];
  readonly accessTokenTtlMs: number;
  /** `null`: no limit. */
  readonly refreshTokenIdleTtlMs: number | null;
  readonly refreshTokenTtlMs: number | null;
  readonly refreshReplayGraceMs: number;
  readonly lastSeenIntervalMs: number;
  readonly deviceListRetentionMs: number;
  /** Whether this process does what no request asks for. */
  readonly background: boolean;
  readonly eventPollIntervalMs: number;
  readonly eventListenerTimeoutMs: number;
  readonly eventDeliveryTimeoutMs: number;
  readonly eventMaxAttempts: number;
  readonly eventRetentionMs: number;
  readonly eventBuriedRetentionMs: number;
  readonly audit: boolean;
  readonly auditRetentionMs: number;
  readonly reconcile: 'repair' | 'dry_run' | 'off';
  readonly reconcileIntervalMs: number;
  readonly deviceWithoutTokenTtlMs: number;
  readonly metricsPort: number | null;
  readonly metricsHost: string;
  readonly tracing: TracingSettings;
  readonly natsUrl: string | null;
  readonly natsSubjectPrefix: string;
  readonly natsJetstream: boolean;
  readonly webhooksFile: string | null;
  readonly webhookSecret: string | null;
  readonly webhookSchemes: readonly string[];
  /** In the form of Express's setting `trust proxy`. */
  readonly trustProxy: string | number | false;
  readonly keepAliveTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly maxConnections: number;
  /** `null`: no limit. */
  readonly readyMaxLagMs: number | null;
  readonly shutdownDelayMs: number;
  readonly apiDocs: boolean;
  readonly limits: Limits;
  readonly homeserver: HomeserverSettings;
  readonly oauth: OAuthSettings;
  /** Empty if rate limits are off. */
  readonly rateLimits: readonly RateLimit[];
  readonly logLevel: Parsed['LOG_LEVEL'];
  readonly production: boolean;

  /**
   * Reads and checks the variables.
   * @throws {EnvironmentError} naming each invalid variable and its allowed values
   */
  static load(variables: Readonly<Record<string, string | undefined>>): Environment {
    const set = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''));
    const { variables: whole, problems: unread, fromFiles } = withSecretFiles(set);
    if (unread.length > 0) throw new EnvironmentError([...unread]);
    const { success, data, error } = environmentSchema.safeParse(whole);
    if (!success) {
      throw new EnvironmentError(
        error.issues.map((issue) => {
          const name = String(issue.path[0]);
          if (fromFiles.has(name)) return `${name}_FILE must hold ${issue.message}`;
          const given = MAY_HOLD_SECRETS.has(name) ? '' : `, not ${JSON.stringify(variables[name])}`;
          return `${name} must be ${issue.message}${given}`;
        }),
      );
    }
    const problems = [...problemsOf(data, data.GUESTS === 'allowed'), ...oauthProblemsOf(data)];
    if (problems.length > 0) throw new EnvironmentError(problems);
    const strangers = list(data.SERVER_ADMINS).filter((admin) => !admin.endsWith(`:${data.SERVER_NAME}`));
    if (strangers.length > 0) {
      throw new EnvironmentError([
        `SERVER_ADMINS must be users of ${data.SERVER_NAME}, unlike ${strangers.join(', ')}`,
      ]);
    }
    if (data.NODE_ENV === 'production' && data.DATABASE_URL === undefined) {
      throw new EnvironmentError([
        'DATABASE_URL must be set when NODE_ENV is production: a postgresql:// URL, or the word "embedded"',
      ]);
    }
    return new Environment(data);
  }

  /** The variables that look like one of the service, but are read by nobody. */
  static misspeltIn(variables: Readonly<Record<string, string | undefined>>): Misspelt[] {
    return misspeltIn(Object.keys(variables), [...Object.keys(environmentSchema.shape), ...SECRET_FILES]);
  }

  private constructor(parsed: Parsed) {
    this.host = parsed.HOST;
    this.port = parsed.PORT;
    this.workers = parsed.WORKERS === 'auto' ? availableParallelism() : Number(parsed.WORKERS);
    this.serverName = parsed.SERVER_NAME;
    this.publicBaseUrl = parsed.PUBLIC_BASE_URL ?? `http://localhost:${parsed.PORT}`;
    this.databaseUrl =
      parsed.DATABASE_URL === undefined || parsed.DATABASE_URL === EMBEDDED ? null : parsed.DATABASE_URL;
    this.databasePoolSize = parsed.DATABASE_POOL_SIZE;
    this.databaseSettings = Object.fromEntries(
      list(parsed.DATABASE_SETTINGS).map((item) => item.split('=') as [string, string]),
    );
    this.databaseSharing = {
      across: parsed.DATABASE_SHARED_BY,
      lockTimeoutMs: milliseconds(parsed.DATABASE_SHARED_LOCK_TIMEOUT),
    };
    this.migrate = parsed.MIGRATE === 'on';
    this.dataDir = parsed.DATA_DIR;
    this.production = parsed.NODE_ENV === 'production';
    const isTrial = this.databaseUrl === null && !this.production;
    this.registration = parsed.REGISTRATION ?? (isTrial ? 'open' : 'closed');
    this.registrationTokens = list(parsed.REGISTRATION_TOKENS);
    this.guestsAllowed = parsed.GUESTS === 'allowed';
    this.passwordMinLength = parsed.PASSWORD_MIN_LENGTH;
    this.passwordHashing = {
      memoryKib: parsed.PASSWORD_HASH_MEMORY_KIB,
      passes: parsed.PASSWORD_HASH_PASSES,
      queue: parsed.PASSWORD_HASH_QUEUE,
      bcryptPepper: parsed.PASSWORD_BCRYPT_PEPPER ?? '',
    };
    this.serverAdmins = list(parsed.SERVER_ADMINS);
    this.adminToken = parsed.ADMIN_TOKEN ?? null;
    this.appserviceFiles = list(parsed.APPSERVICE_FILES);
    this.accessTokenTtlMs = milliseconds(parsed.ACCESS_TOKEN_TTL);
    this.refreshTokenIdleTtlMs = parsed.REFRESH_TOKEN_IDLE_TTL
      ? milliseconds(parsed.REFRESH_TOKEN_IDLE_TTL)
      : null;
    this.refreshTokenTtlMs = parsed.REFRESH_TOKEN_TTL ? milliseconds(parsed.REFRESH_TOKEN_TTL) : null;
    this.refreshReplayGraceMs = milliseconds(parsed.REFRESH_REPLAY_GRACE);
    this.lastSeenIntervalMs = milliseconds(parsed.LAST_SEEN_INTERVAL);
    this.deviceListRetentionMs = milliseconds(parsed.DEVICE_LIST_RETENTION);
    this.background = parsed.BACKGROUND === 'on';
    this.eventPollIntervalMs = milliseconds(parsed.EVENT_POLL_INTERVAL);
    this.eventListenerTimeoutMs = milliseconds(parsed.EVENT_LISTENER_TIMEOUT);
    this.eventDeliveryTimeoutMs = milliseconds(parsed.EVENT_DELIVERY_TIMEOUT);
    this.eventMaxAttempts = parsed.EVENT_MAX_ATTEMPTS;
    this.eventRetentionMs = milliseconds(parsed.EVENT_RETENTION);
    this.eventBuriedRetentionMs = milliseconds(parsed.EVENT_BURIED_RETENTION);
    this.audit = parsed.AUDIT === 'on';
    this.auditRetentionMs = milliseconds(parsed.AUDIT_RETENTION);
    this.reconcile = parsed.RECONCILE;
    this.reconcileIntervalMs = milliseconds(parsed.RECONCILE_INTERVAL);
    this.deviceWithoutTokenTtlMs = milliseconds(parsed.DEVICE_WITHOUT_TOKEN_TTL);
    this.metricsPort = parsed.METRICS_PORT ?? null;
    this.metricsHost = parsed.METRICS_HOST;
    this.tracing = tracingOf(parsed);
    this.natsUrl = parsed.NATS_URL ?? null;
    this.natsSubjectPrefix = parsed.NATS_SUBJECT_PREFIX;
    this.natsJetstream = parsed.NATS_JETSTREAM === 'on';
    this.webhooksFile = parsed.WEBHOOKS_FILE ?? null;
    this.webhookSecret = parsed.WEBHOOK_SECRET ?? null;
    this.webhookSchemes = list(parsed.WEBHOOK_SCHEMES);
    const { TRUST_PROXY: proxies = '' } = parsed;
    this.trustProxy = /^\d+$/.test(proxies) ? Number(proxies) : proxies || false;
    this.keepAliveTimeoutMs = milliseconds(parsed.KEEP_ALIVE_TIMEOUT);
    this.requestTimeoutMs = milliseconds(parsed.REQUEST_TIMEOUT);
    this.maxConnections = parsed.MAX_CONNECTIONS;
    this.readyMaxLagMs = parsed.READY_MAX_LAG ? milliseconds(parsed.READY_MAX_LAG) : null;
    this.shutdownDelayMs = parsed.SHUTDOWN_DELAY ? milliseconds(parsed.SHUTDOWN_DELAY) : 0;
    this.apiDocs =
      parsed.API_DOCS === undefined ? parsed.NODE_ENV !== 'production' : parsed.API_DOCS === 'on';
    this.homeserver = homeserverOf(parsed);
    this.oauth = oauthOf(parsed, this.publicBaseUrl);
    this.limits = limitsOf(parsed);
    this.rateLimits = rateLimitsOf(parsed);
    this.logLevel = parsed.LOG_LEVEL;
  }
}

/**
 * The configuration is invalid. The message has one line for each problem.
 *
 * @example
 * ```ts
 * try {
 *   Environment.load(process.env);
 * } catch (error) {
 *   if (error instanceof EnvironmentError) console.error(error.problems.join('\n'));
 * }
 * ```
 */
export class EnvironmentError extends Error {
  constructor(readonly problems: string[]) {
    super([...new Set(problems)].join('\n'));
    this.name = 'EnvironmentError';
  }
}
