import * as z from 'zod';
import { milliseconds } from './durations.js';

/** A number of attempts in a span of time: `10/1m`. */
function rateLimit(byDefault: string) {
  const form = /^[1-9]\d{0,5}\/[1-9]\d{0,5}(s|m|h|d)$/;
  return z
    .string()
    .regex(form, 'a number from 1 and a duration in s, m, h or d, such as 10/1m')
    .default(byDefault);
}

/** The variables that set the rate limits. */
export const rateLimitVariables = {
  RATE_LIMITS: z
    .enum(['on', 'off'], { error: '"on" or "off"' })
    .default('on')
    .describe('"off" disables all rate limits, for load tests.'),
  RATE_LIMIT_LOGIN_FAILED_ACCOUNT: rateLimit('10/10m').describe('Failed logins to one account.'),
  RATE_LIMIT_LOGIN_FAILED_ADDRESS: rateLimit('50/10m').describe('Failed logins from one address.'),
  RATE_LIMIT_REGISTRATION: rateLimit('20/1h').describe('Registrations from one address.'),
  RATE_LIMIT_CHALLENGE: rateLimit('60/1m').describe(
    'Requests from one address that may start interactive authentication: registrations, password changes, deactivations, device deletions, new cross-signing keys, login tokens. Application services are not counted.',
  ),
  RATE_LIMIT_AVAILABLE: rateLimit('60/1m').describe(
    'Checks of whether a username is available, or a new password good enough, from one address.',
  ),
  RATE_LIMIT_REFRESH: rateLimit('300/1m').describe('Refreshes from one address.'),
  RATE_LIMIT_OAUTH_CLIENTS: rateLimit('60/1m').describe(
    'Registrations of OAuth 2.0 clients from one address.',
  ),
  RATE_LIMIT_OAUTH_NEW_CLIENTS: rateLimit('30/1h').describe(
    'OAuth 2.0 clients from one address that were not registered yet.',
  ),
  RATE_LIMIT_OAUTH_POLLS: rateLimit('300/1m').describe(
    'Exchanges of device codes from one address, counted by each node.',
  ),
  RATE_LIMIT_OAUTH_CODES: rateLimit('60/1m').describe('Exchanges of authorization codes from one address.'),
  RATE_LIMIT_OAUTH_DEVICE: rateLimit('20/1m').describe('Device authorization requests from one address.'),
  RATE_LIMIT_USER_CODE_ADDRESS: rateLimit('10/10m').describe('Wrong user codes typed at one address.'),
  RATE_LIMIT_USER_CODE_USER: rateLimit('10/10m').describe('Wrong user codes typed by one user.'),
  RATE_LIMIT_DEVICE_SIGNING: rateLimit('300/1m').describe(
    'Uploads of cross-signing keys by one user, counted by each node; clients repeat them until the user has agreed.',
  ),
  RATE_LIMIT_GET_TOKEN: rateLimit('1/1m').describe('Login tokens requested by one user.'),
  RATE_LIMIT_VALIDITY: rateLimit('10/1m').describe('Checks of registration tokens from one address.'),
  RATE_LIMIT_KEYS_UPLOAD: rateLimit('120/1m').describe(
    'Uploads of keys and signatures by one user, counted by each node.',
  ),
  RATE_LIMIT_KEYS_QUERY: rateLimit('600/1m').describe('Key queries by one user, counted by each node.'),
  RATE_LIMIT_KEYS_CLAIMED: rateLimit('30/10m').describe(
    'One-time keys claimed from one device, counted by each node; beyond that only its fallback key is handed out.',
  ),
  RATE_LIMIT_KEYS_CLAIM: rateLimit('600/1m').describe(
    'Claims of one-time keys by one user, counted by each node.',
  ),
};

type Variables = z.infer<z.ZodObject<typeof rateLimitVariables>>;

/** What each rate limit is counted by, and which variable sets it. */
const RATE_LIMITS = {
  login_failed_address: { by: 'address', variable: 'RATE_LIMIT_LOGIN_FAILED_ADDRESS' },
  login_failed_account: { by: 'account', variable: 'RATE_LIMIT_LOGIN_FAILED_ACCOUNT' },
  registration: { by: 'address', variable: 'RATE_LIMIT_REGISTRATION' },
  challenge: { by: 'address', variable: 'RATE_LIMIT_CHALLENGE' },
  available: { by: 'address', variable: 'RATE_LIMIT_AVAILABLE' },
  refresh: { by: 'address', variable: 'RATE_LIMIT_REFRESH' },
  validity: { by: 'address', variable: 'RATE_LIMIT_VALIDITY' },
  oauth_clients: { by: 'address', variable: 'RATE_LIMIT_OAUTH_CLIENTS' },
  oauth_new_clients: { by: 'address', variable: 'RATE_LIMIT_OAUTH_NEW_CLIENTS' },
  oauth_polls: { by: 'address', variable: 'RATE_LIMIT_OAUTH_POLLS', isPerNode: true },
  oauth_codes: { by: 'address', variable: 'RATE_LIMIT_OAUTH_CODES' },
  oauth_device: { by: 'address', variable: 'RATE_LIMIT_OAUTH_DEVICE' },
  user_code_address: { by: 'address', variable: 'RATE_LIMIT_USER_CODE_ADDRESS' },
  user_code_user: { by: 'user', variable: 'RATE_LIMIT_USER_CODE_USER' },
  device_signing: { by: 'user', variable: 'RATE_LIMIT_DEVICE_SIGNING', isPerNode: true },
  get_token: { by: 'user', variable: 'RATE_LIMIT_GET_TOKEN' },
  // Clients send these requests all the time, so a counter in the database would cost as much as the request itself.
  keys_upload: { by: 'user', variable: 'RATE_LIMIT_KEYS_UPLOAD', isPerNode: true },
  keys_query: { by: 'user', variable: 'RATE_LIMIT_KEYS_QUERY', isPerNode: true },
  keys_claim: { by: 'user', variable: 'RATE_LIMIT_KEYS_CLAIM', isPerNode: true },
  keys_claimed: { by: 'device', variable: 'RATE_LIMIT_KEYS_CLAIMED', isPerNode: true },
} as const satisfies Record<
  string,
  { by: 'address' | 'account' | 'user' | 'device'; variable: keyof Variables; isPerNode?: boolean }
>;

/** The names of the rate limits. */
export type RateLimitName = keyof typeof RATE_LIMITS;

/** All rate limits, even while they are off. */
export const RATE_LIMIT_NAMES = Object.keys(RATE_LIMITS) as readonly RateLimitName[];

/** What a rate limit is counted by: a client's address, the account that a client tries, a user, or a device. */
export function countedFor(name: RateLimitName): (typeof RATE_LIMITS)[RateLimitName]['by'] {
  return RATE_LIMITS[name].by;
}

/** The rate limits that are counted by the address or the user that sends a request. */
export type RequestLimitName = {
  [Name in RateLimitName]: (typeof RATE_LIMITS)[Name]['by'] extends 'address' | 'user' ? Name : never;
}[RateLimitName];

/** The number of attempts that are allowed in a window. */
export interface RateLimit {
  readonly name: RateLimitName;
  readonly points: number;
  readonly windowMs: number;
  /** Whether each node counts on its own, so that several nodes together allow more attempts. */
  readonly isPerNode: boolean;
}

/** The rate limits as configured; none if they are off. */
export function rateLimitsOf(variables: Variables): RateLimit[] {
  if (variables.RATE_LIMITS === 'off') return [];
  return RATE_LIMIT_NAMES.map((name) => {
    const { variable, isPerNode = false }: { variable: keyof Variables; isPerNode?: boolean } =
      RATE_LIMITS[name];
    const [points = '', window = ''] = variables[variable].split('/');
    return { name, points: Number(points), windowMs: milliseconds(window), isPerNode };
  });
}
