import type { RefreshTokenEntity } from './refresh-token.entity.js';
import type { Origin } from '../matrix/client-origin.decorator.js';
import type { WireToken } from './token.rules.js';

/** What is needed to begin a session. */
export interface SessionStart {
  readonly userId: string;
  /** The device the client asks for; a new one without. */
  readonly deviceId: string | undefined;
  readonly initialDeviceDisplayName: string | null;
  /** Whether the client can refresh: then its access token expires and comes with a refresh token. */
  readonly refreshable: boolean;
  /** Where it was asked for. */
  readonly origin: Origin;
}

/** The tokens of a session, as they are handed out once. */
export interface TokenPair {
  readonly access: WireToken;
  readonly refresh: WireToken | null;
  /** `null`: the access token does not expire. */
  readonly lifetimeMs: number | null;
  readonly expiresAt: Date | null;
}

/** A session that has begun. */
export interface StartedSession {
  readonly userId: string;
  readonly deviceId: string;
  readonly pair: TokenPair;
}

/** What presenting a refresh token of a known family means. */
export type Rotation = 'next' | 'retry' | 'superseded' | 'late' | 'replay' | 'ended';

/** @param lateAfter a token that was spent since then comes late; one that was spent earlier is replayed */
export function rotationOf(session: RefreshTokenEntity, digest: Buffer, lateAfter: Date): Rotation {
  if (session.endedReason !== null) return 'ended';
  if (session.currentDigest.equals(digest)) return 'next';
  if (session.previousDigest?.equals(digest)) return 'retry';
  // Of two answers to one refresh the newer counts; the older was never used, and proves no theft.
  if (session.supersededDigest?.equals(digest)) return 'superseded';
  // Two tabs, or an app and its notification extension, share tokens and do not always know of each other's refresh.
  const at = session.retiredDigests.findIndex((retired) => retired.equals(digest));
  return at !== -1 && session.retiredAt[at]! > lateAfter ? 'late' : 'replay';
}

/** So long an expired access token may still log out. */
export const EXPIRED_TOKEN_KEPT_MS = 24 * 60 * 60 * 1_000;
