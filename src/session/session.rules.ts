import type { RefreshTokenEntity } from './refresh-token.entity.js';
import type { Origin } from '../matrix/client-origin.decorator.js';
import type { WireToken } from './token.rules.js';

/** The OAuth 2.0 client that a session belongs to. */
export interface SessionClient {
  readonly clientId: string;
  /** As the client asked for it. */
  readonly scope: string;
}

/** What is needed to start a session. */
export interface SessionStart {
  readonly userId: string;
  /** The device ID that the client asks for; `undefined` for a new device. */
  readonly deviceId: string | undefined;
  readonly initialDeviceDisplayName: string | null;
  /** Whether the client can refresh. If so, its access token expires and comes with a refresh token. */
  readonly refreshable: boolean;
  /** Where the request came from. */
  readonly origin: Origin;
  /** `null`: the session begins by the login API. */
  readonly client: SessionClient | null;
}

/** The tokens of a session. They are handed out only once. */
export interface TokenPair {
  readonly access: WireToken;
  readonly refresh: WireToken | null;
  /** `null`: the access token does not expire. */
  readonly lifetimeMs: number | null;
  readonly expiresAt: Date | null;
}

/** A started session. */
export interface StartedSession {
  readonly userId: string;
  readonly deviceId: string;
  readonly pair: TokenPair;
}

/** What presenting a refresh token of a known family means. */
export type Rotation = 'next' | 'retry' | 'superseded' | 'late' | 'replay' | 'ended';

/** @param lateAfter a token that was spent after this time is only late; one that was spent earlier is a replay */
export function rotationOf(session: RefreshTokenEntity, digest: Buffer, lateAfter: Date): Rotation {
  if (session.endedReason !== null) return 'ended';
  if (session.currentDigest.equals(digest)) return 'next';
  if (session.previousDigest?.equals(digest)) return 'retry';
  // If a refresh was answered twice, only the newer answer counts. The older token was never used and is no sign of
  // theft.
  if (session.supersededDigest?.equals(digest)) return 'superseded';
  // Two tabs, or an app and its notification extension, share tokens and do not always know of each other's refresh.
  const at = session.retiredDigests.findIndex((retired) => retired.equals(digest));
  return at !== -1 && session.retiredAt[at]! > lateAfter ? 'late' : 'replay';
}

/** How long an expired access token may still log out. */
export const EXPIRED_TOKEN_KEPT_MS = 24 * 60 * 60 * 1_000;
