import * as z from 'zod';
import { isPlainHttpUrl } from './urls.js';
import { duration, milliseconds } from './durations.js';

const wait = () =>
  duration({ min: 1, max: 60_000, examples: '500ms or 5s', bounds: 'from a millisecond to a minute' });

/** What this service and a homeserver that trusts its tokens share. */
export const homeserverVariables = {
  HOMESERVER_URL: z
    .string()
    .refine(isPlainHttpUrl, 'a URL that starts with http:// or https://, without a user or a password')
    .optional()
    .describe(
      'Client listener of the Synapse that trusts the tokens of this service, reached directly (docs/homeserver.md). Default: none.',
    ),
  HOMESERVER_SECRET: z
    .string()
    // Synapse does not read a secret with spaces from the header that it comes in.
    .regex(/^[\x21-\x7E]{32,}$/, 'at least 32 ASCII characters without spaces')
    .optional()
    .describe(
      'Secret with which the homeserver and this service ask each other, such as whose a token is (POST /oauth2/introspect). Default: nobody may ask.',
    ),
  HOMESERVER_TIMEOUT: wait().default('5s').describe('Time limit for one call of the homeserver.'),
  HOMESERVER_LOGIN_WAIT: wait()
    .default('5s')
    .describe(
      'How long a login or registration waits until the homeserver knows the user and the device; then it fails with 503.',
    ),
  HOMESERVER_LOGOUT_WAIT: wait()
    .default('1500ms')
    .describe(
      'How long the answer to a logout, or to another request whose commit is final, waits for the homeserver.',
    ),
  HOMESERVER_ADMIN_USER: z
    .string()
    .regex(/^(?!_|\d+$)[a-z0-9._=/+-]{1,200}$/, 'the localpart of a user ID')
    .default('session-service')
    .describe('Localpart of the user as whom this service calls the admin API of Synapse.'),
  HOMESERVER_RECONCILE: z
    .enum(['off', 'dry_run', 'repair'], { error: '"off", "dry_run" or "repair"' })
    .default('off')
    .describe(
      'Whether the reconciler also compares users and devices with those of the homeserver, and reports differences (dry_run) or repairs them.',
    ),
  HOMESERVER_ADOPT: z
    .enum(['on', 'off'], { error: '"on" or "off"' })
    .default('off')
    .describe(
      'Whether users who exist at the homeserver, but were not made by this service, belong to the accounts of the same names here.',
    ),
};

type Parsed = z.infer<z.ZodObject<typeof homeserverVariables>>;

/** How this service and its homeserver talk to each other. */
export interface HomeserverSettings {
  /** `null`: there is none. */
  readonly url: string | null;
  readonly secret: string | null;
  readonly timeoutMs: number;
  readonly loginWaitMs: number;
  readonly logoutWaitMs: number;
  readonly adminUser: string;
  readonly reconcile: 'off' | 'dry_run' | 'repair';
  readonly adopts: boolean;
}

export function homeserverOf(parsed: Parsed): HomeserverSettings {
  return {
    url: parsed.HOMESERVER_URL ?? null,
    secret: parsed.HOMESERVER_SECRET ?? null,
    timeoutMs: milliseconds(parsed.HOMESERVER_TIMEOUT),
    loginWaitMs: milliseconds(parsed.HOMESERVER_LOGIN_WAIT),
    logoutWaitMs: milliseconds(parsed.HOMESERVER_LOGOUT_WAIT),
    adminUser: parsed.HOMESERVER_ADMIN_USER,
    reconcile: parsed.HOMESERVER_RECONCILE,
    adopts: parsed.HOMESERVER_ADOPT === 'on',
  };
}

/** What is wrong with variables that are right one by one. */
export function problemsOf(
  { HOMESERVER_URL: url, HOMESERVER_SECRET: secret }: Parsed,
  guestsAllowed: boolean,
): string[] {
  const problems: string[] = [];
  if (url !== undefined && secret === undefined)
    problems.push('HOMESERVER_SECRET or HOMESERVER_SECRET_FILE must be set when HOMESERVER_URL is');
  if (secret !== undefined && guestsAllowed)
    problems.push(
      'GUESTS must be refused if HOMESERVER_SECRET is set: a homeserver would take guests for users',
    );
  return problems;
}
