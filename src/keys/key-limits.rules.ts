import { MatrixError } from '../matrix/matrix-error.js';

const KIB = 1_024;

/** What one device, one user and one request may have of keys; docs/operating.md has the table. */
export const KEY_LIMITS = {
  /** JSON of the identity keys of a device. */
  deviceKeysBytes: 16 * KIB,
  /** JSON of the identity keys of all devices of a user, together. */
  userKeysBytes: KIB * KIB,
  /** JSON of one one-time or fallback key. */
  keyBytes: 2 * KIB,
  /** JSON of one cross-signing key. */
  crossSigningKeyBytes: 16 * KIB,
  /** Clients keep about fifty; what nobody claims must not pile up. */
  unclaimedKeys: 5_000,
  /** A claimed key is remembered as long as its device lives. */
  oneTimeKeysOfALife: 100_000,
  fallbackKeys: 20,
  /** Of one request. */
  claimedDevices: 10_000,
  queriedUsers: 1_000,
  queriedDevices: 10_000,
  signedObjects: 1_000,
  /** JSON of one answer to a query, about. */
  queryBytes: 32 * KIB * KIB,
} as const;

/** @throws {MatrixError} 400 `M_TOO_LARGE` when the JSON of a value has too many bytes */
export function requireFewBytes(what: string, json: string, most: number): void {
  if (json.length > most || Buffer.byteLength(json) > most)
    throw tooLarge(`${what} may have ${most} bytes at the most`);
}

/** @throws {MatrixError} 400 `M_INVALID_PARAM` */
export function requireFew(what: string, count: number, most: number): void {
  if (count > most) throw tooMany(what, most);
}

export function tooMany(what: string, most: number): MatrixError {
  return MatrixError.invalidParam(`There may be ${most} ${what} at the most`);
}

export function tooLarge(message: string): MatrixError {
  return new MatrixError(400, 'M_TOO_LARGE', message);
}
