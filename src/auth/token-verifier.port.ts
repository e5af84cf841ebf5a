import type { Requester } from './requester.js';

/** What a verifier says of a token. */
export type Verdict =
  | { readonly kind: 'valid'; readonly requester: Requester }
  /** The token is past its time, its device lives on. */
  | { readonly kind: 'expired'; readonly requester: Requester }
  /** Never issued, or ended with its device. */
  | { readonly kind: 'unknown' };

/** Tells whose an access token is. The guard asks it once for each request; it keeps no cache. */
export abstract class TokenVerifier {
  abstract verify(token: string): Promise<Verdict>;
}
