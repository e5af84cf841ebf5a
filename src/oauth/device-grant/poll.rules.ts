import type { OAuthDeviceGrantEntity } from './device-grant.entity.js';

/** A client that waits for exactly the interval may arrive a little early. */
const LENIENCE_MS = 1_000;
/** What a client that asks too often has to wait from then on, in addition (RFC 8628, section 3.5). */
const SLOWER_MS = 5_000;
/** Nobody needs to wait longer. */
const LONGEST_MS = 60_000;

/** What a client is told that asks for the tokens of a device code. */
export type Poll = 'approved' | 'access_denied' | 'expired_token' | 'authorization_pending' | 'slow_down';

/** Decides on a question at a time. What was decided is told at once, whatever the interval says. */
export function pollOf(grant: OAuthDeviceGrantEntity, now: Date): Poll {
  if (grant.expiresAt <= now) return 'expired_token';
  if (grant.state === 'approved') return 'approved';
  if (grant.state === 'refused') return 'access_denied';
  const { polledAt, intervalMs } = grant;
  const isEarly = polledAt !== null && now.getTime() - polledAt.getTime() < intervalMs - LENIENCE_MS;
  return isEarly ? 'slow_down' : 'authorization_pending';
}

/** The interval of a client that has asked too early. */
export function slower(intervalMs: number): number {
  return Math.min(intervalMs + SLOWER_MS, LONGEST_MS);
}
