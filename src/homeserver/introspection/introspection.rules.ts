import type { Requester } from '../../auth/requester.js';
import type { Verdict } from '../../auth/token-verifier.port.js';
import { localpartOf } from '../../matrix/user-id.js';
import { OAuthError } from '../../matrix/oauth-error.js';

const API_SCOPE = 'urn:matrix:client:api:*';
const DEVICE_SCOPE = 'urn:matrix:client:device:';
/** The names of the same scopes in MSC2967, which homeservers still read. */
const UNSTABLE_API_SCOPE = 'urn:matrix:org.matrix.msc2967.client:api:*';
const UNSTABLE_DEVICE_SCOPE = 'urn:matrix:org.matrix.msc2967.client:device:';

/** What a scope consists of (RFC 6749, appendix A.4). */
const SCOPE_CHARACTERS = /^[\x21\x23-\x5B\x5D-\x7E]+$/;

/** When a homeserver may ask again about the token of a locked user. */
const LOCKED_RETRY_S = '60';

/** What a homeserver is told about a token (RFC 7662, section 2.2). */
export type Introspection =
  | { readonly active: false }
  | {
      readonly active: true;
      readonly scope: string;
      readonly username: string;
      /** Left out for the service's own user. */
      readonly device_id?: string;
      /** Whole seconds; left out for a token that does not expire. */
      readonly expires_in?: number;
    };

const INACTIVE: Introspection = { active: false };

/** Makes Synapse accept a token on its admin API. */
const ADMIN_SCOPE = 'urn:synapse:admin:*';

/** The user as whom this service calls the admin API. */
export function administrator(username: string): Introspection {
  return { active: true, scope: [API_SCOPE, UNSTABLE_API_SCOPE, ADMIN_SCOPE].join(' '), username };
}

/**
 * Says what a verdict means to a homeserver. Only tokens of sessions are active: a homeserver knows the tokens of
 * application services itself.
 * @throws {OAuthError} 503 for the token of a locked user. "Inactive" would make clients discard their keys, although
 *   the session is only locked.
 */
export function toIntrospection(
  verdict: Verdict,
  isAdministrator: (requester: Requester) => boolean,
  now: Date,
): Introspection {
  if (verdict.kind !== 'valid') return INACTIVE;
  const { userId, device, isAppservice, isLocked, tokenExpiresAt } = verdict.requester;
  if (isAppservice || device === null) return INACTIVE;
  if (isLocked)
    throw new OAuthError(503, 'temporarily_unavailable', 'The account of this token is locked', {
      'Retry-After': LOCKED_RETRY_S,
    });
  const { deviceId } = device;
  const scopes = [API_SCOPE, UNSTABLE_API_SCOPE];
  // A device ID with a space or a quote cannot stand in a scope. `device_id` below names every device.
  if (SCOPE_CHARACTERS.test(deviceId)) scopes.push(DEVICE_SCOPE + deviceId, UNSTABLE_DEVICE_SCOPE + deviceId);
  if (isAdministrator(verdict.requester)) scopes.push(ADMIN_SCOPE);
  const active = {
    active: true,
    scope: scopes.join(' '),
    username: localpartOf(userId),
    device_id: deviceId,
  } as const;
  if (tokenExpiresAt === null) return active;
  // Whole seconds, because homeservers refuse fractions. In its last second a token counts as expired.
  const expiresIn = Math.floor((tokenExpiresAt.getTime() - now.getTime()) / 1_000);
  return expiresIn > 0 ? { ...active, expires_in: expiresIn } : INACTIVE;
}
