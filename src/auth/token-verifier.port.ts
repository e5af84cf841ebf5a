import type { Tx } from '../database/tx.js';
import type { Requester } from './requester.js';

/** What a verifier says of a token. */
export type Verdict =
  | { readonly kind: 'valid'; readonly requester: Requester }
  /** The token is past its time, its device lives on. */
  | { readonly kind: 'expired'; readonly requester: Requester }
  /** Never issued, or ended: with its device, or replaced while the device lives on. */
  | { readonly kind: 'unknown'; readonly deviceLives: boolean };

/** Whom an application service says it acts for: `?user_id=` and `?device_id=` ("Identity assertion"). */
export interface IdentityAssertion {
  readonly userId: string | undefined;
  readonly deviceId: string | undefined;
}

/** Tells whose an access token is. The guard asks it once for each request; it keeps no cache. */
export abstract class TokenVerifier {
  /**
   * @param asserted counts for the token of an application service only
   * @throws {MatrixError} when the application service may not act for whom it names
   */
  abstract verify(token: string, asserted: IdentityAssertion): Promise<Verdict>;

  /**
   * Looks again, once the account is locked, whether the caller's session is still there: it may have ended, or its
   * device have got another session, since the guard looked. From then on no session of the account begins before
   * the transaction ends.
   * @throws {MatrixError} `M_UNKNOWN_TOKEN`
   */
  abstract requireAlive(tx: Tx, requester: Requester): Promise<void>;
}
