/** Longest user ID in bytes, sigil and server name included (appendices, "User Identifiers"). */
const LIMIT_BYTES = 255;

const LOCALPART = /^[a-z0-9._=/+-]+$/;

/** `@localpart:server`. */
export function toUserId(localpart: string, serverName: string): string {
  return `@${localpart}:${serverName}`;
}

/** The part between `@` and the first colon. */
export function localpartOf(userId: string): string {
  return userId.slice(1, userId.indexOf(':'));
}

/** The part after the first colon; empty when there is none. */
export function serverNameOf(userId: string): string {
  const colon = userId.indexOf(':');
  return colon === -1 ? '' : userId.slice(colon + 1);
}

/** Whether a new user may have this name. Older user IDs may break this rule and still be valid. */
export function isNewLocalpart(localpart: string, serverName: string): boolean {
  return LOCALPART.test(localpart) && Buffer.byteLength(toUserId(localpart, serverName)) <= LIMIT_BYTES;
}
