import * as z from 'zod';

const UNITS = { B: 1, KiB: 1_024, MiB: 1_024 * 1_024 } as const;

function size(byDefault: string) {
  return z
    .string()
    .regex(/^[1-9]\d{0,6}(B|KiB|MiB)$/, 'a size such as 512B, 16KiB or 1MiB')
    .default(byDefault);
}

function count(byDefault: number, max = 10_000_000) {
  const error = `a whole number from 1 to ${max}`;
  return z.coerce.number({ error }).int(error).min(1, error).max(max, error).default(byDefault);
}

/** How much one user, one device or one request may have. */
export const limitVariables = {
  DEVICES_PER_USER: count(1_000, 1_000_000).describe(
    'Maximum number of devices of one user; a login on a further device is refused.',
  ),
  LIMIT_BODY: size('1MiB').describe('Maximum size of a request body.'),
  LIMIT_DEVICE_KEYS: size('16KiB').describe('Maximum size of the identity keys of a device, as JSON.'),
  LIMIT_USER_KEYS: size('1MiB').describe('The same for all devices of a user together.'),
  LIMIT_KEY: size('2KiB').describe('Maximum size of a one-time or fallback key, as JSON.'),
  LIMIT_CROSS_SIGNING_KEY: size('16KiB').describe('Maximum size of a cross-signing key, as JSON.'),
  LIMIT_UNCLAIMED_KEYS: count(5_000).describe('Maximum number of unclaimed one-time keys of a device.'),
  LIMIT_LIFETIME_KEYS: count(100_000).describe(
    'Maximum number of one-time keys in the life of a device, claimed or not.',
  ),
  LIMIT_FALLBACK_KEYS: count(20).describe('Maximum number of fallback keys of a device.'),
  LIMIT_CLAIMED_DEVICES: count(10_000).describe('Maximum number of devices in one key claim.'),
  LIMIT_QUERIED_USERS: count(1_000).describe('Maximum number of users in one key query.'),
  LIMIT_QUERIED_DEVICES: count(10_000).describe('Maximum number of named devices in one key query.'),
  LIMIT_QUERY_ANSWER: size('32MiB').describe('Approximate maximum size of the answer to a key query.'),
  LIMIT_SIGNED_OBJECTS: count(1_000).describe('Maximum number of objects in one upload of signatures.'),
  LIMIT_CHALLENGES: count(20).describe(
    'Authentication sessions that are kept for one device; older ones are forgotten.',
  ),
  LIMIT_CHALLENGE_PARAMETERS: size('64KiB').describe(
    'Maximum size of the request parameters that an authentication session keeps.',
  ),
};

type Variables = z.infer<z.ZodObject<typeof limitVariables>>;

/**
 * How much one user, one device or one request may have; sizes are in bytes.
 *
 * @example
 * ```ts
 * const { devicesPerUser }: Limits = environment.limits;
 * ```
 */
export interface Limits {
  readonly devicesPerUser: number;
  readonly bodyBytes: number;
  readonly deviceKeysBytes: number;
  readonly userKeysBytes: number;
  readonly keyBytes: number;
  readonly crossSigningKeyBytes: number;
  readonly unclaimedKeys: number;
  readonly lifetimeKeys: number;
  readonly fallbackKeys: number;
  readonly claimedDevices: number;
  readonly queriedUsers: number;
  readonly queriedDevices: number;
  readonly queryAnswerBytes: number;
  readonly signedObjects: number;
  readonly challenges: number;
  readonly challengeParametersBytes: number;
}

/** The variable with which an operator sets a limit. */
export type LimitVariable = keyof Variables | 'PASSWORD_HASH_QUEUE';

/** The limits beyond which a request is refused. Of authentication sessions, the oldest are forgotten instead. */
export const LIMIT_VARIABLES: readonly LimitVariable[] = [
  ...(Object.keys(limitVariables) as (keyof Variables)[]).filter((name) => name !== 'LIMIT_CHALLENGES'),
  'PASSWORD_HASH_QUEUE',
];

export function limitsOf(variables: Variables): Limits {
  return {
    devicesPerUser: variables.DEVICES_PER_USER,
    bodyBytes: bytes(variables.LIMIT_BODY),
    deviceKeysBytes: bytes(variables.LIMIT_DEVICE_KEYS),
    userKeysBytes: bytes(variables.LIMIT_USER_KEYS),
    keyBytes: bytes(variables.LIMIT_KEY),
    crossSigningKeyBytes: bytes(variables.LIMIT_CROSS_SIGNING_KEY),
    unclaimedKeys: variables.LIMIT_UNCLAIMED_KEYS,
    lifetimeKeys: variables.LIMIT_LIFETIME_KEYS,
    fallbackKeys: variables.LIMIT_FALLBACK_KEYS,
    claimedDevices: variables.LIMIT_CLAIMED_DEVICES,
    queriedUsers: variables.LIMIT_QUERIED_USERS,
    queriedDevices: variables.LIMIT_QUERIED_DEVICES,
    queryAnswerBytes: bytes(variables.LIMIT_QUERY_ANSWER),
    signedObjects: variables.LIMIT_SIGNED_OBJECTS,
    challenges: variables.LIMIT_CHALLENGES,
    challengeParametersBytes: bytes(variables.LIMIT_CHALLENGE_PARAMETERS),
  };
}

function bytes(text: string): number {
  const unit = text.replace(/\d+/, '') as keyof typeof UNITS;
  return Number.parseInt(text, 10) * UNITS[unit];
}
