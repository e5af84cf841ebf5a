import type { Tx } from '../database/tx.js';
import type { Requester } from './requester.js';

/** What a verifier says about a token. */
export type Verdict =
  | { readonly kind: 'valid'; readonly requester: Requester }
  /** The token has expired, but its device still exists. */
  | { readonly kind: 'expired'; readonly requester: Requester }
  /** Never issued, deleted with its device, or replaced while the device still exists. */
  | { readonly kind: 'unknown'; readonly deviceLives: boolean };

/** The user and device an application service acts for: `?user_id=` and `?device_id=` ("Identity assertion"). */
export interface IdentityAssertion {
  readonly userId: string | undefined;
  readonly deviceId: string | undefined;
}

/** Finds the owner of an access token. The guard calls it once for each request; it keeps no cache. */
export abstract class TokenVerifier {
  /**
   * @param asserted only used for the token of an application service
   * @throws {MatrixError} when the application service may not act for the user it names
   */
  abstract verify(token: string, asserted: IdentityAssertion): Promise<Verdict>;

  /**
   * Checks that the caller's session still exists: since the guard's check it may have ended, or a new session may
   * have replaced it on the device. Call it after locking the account, so that no session of the account can begin
   * before the transaction ends.
   * @throws {MatrixError} `M_UNKNOWN_TOKEN`
   */
  abstract requireAlive(tx: Tx, requester: Pick<Requester, 'userId' | 'tokenDigest'>): Promise<void>;
}
