import { requireFewBytes } from '../../admission/bounds.rules.js';
import { isObject } from '../../matrix/json.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import {
  areSignatures,
  isPublicKey,
  isSameUnsigned,
  isSignedWith,
  signaturesBy,
  signedBytes,
  type SignedJson,
} from '../../matrix/signed-json.js';

/** What a key is for: the master key signs the other two, which sign the user's devices and other users. */
export type KeyUsage = 'master' | 'self_signing' | 'user_signing';
export const USAGES: readonly KeyUsage[] = ['master', 'self_signing', 'user_signing'];

/** A cross-signing key that has the right shape. */
export interface CrossSigningKey {
  readonly usage: KeyUsage;
  readonly publicKey: string;
  /** The key as it was uploaded, signatures included. */
  readonly key: SignedJson;
}

/** The current keys of a user, by usage. */
export type KeySet = ReadonlyMap<KeyUsage, CrossSigningKey>;

/** The key ID of an Ed25519 key, named by a device ID or a public key. */
export function ed25519(name: string): string {
  return `ed25519:${name}`;
}

/** The part of a key ID after its algorithm: a device ID, or a public key. */
export function deviceNamed(keyId: string): string {
  return keyId.replace(/^ed25519:/, '');
}

/** Returns the identity key of a device that has this key ID, or `null`. */
export function publicKeyOf(device: SignedJson | undefined, keyId: string): string | null {
  const { [keyId]: publicKey } = (device?.['keys'] ?? {}) as Readonly<Record<string, string>>;
  return publicKey ?? null;
}

/**
 * Returns the keys of an upload.
 * @throws {MatrixError} `M_INVALID_PARAM` for a key that is not what the specification calls a `CrossSigningKey`
 */
export function toKeySet(
  userId: string,
  uploaded: Readonly<Record<string, unknown>>,
  keyBytes: number,
): KeySet {
  const keys = USAGES.flatMap((usage) => {
    const key = uploaded[`${usage}_key`];
    return key === undefined ? [] : [toKey(userId, usage, key as SignedJson, keyBytes)];
  });
  if (new Set(keys.map(({ publicKey }) => publicKey)).size < keys.length) throw usedTwice();
  return new Map(keys.map((key) => [key.usage, key]));
}

function toKey(userId: string, usage: KeyUsage, key: SignedJson, keyBytes: number): CrossSigningKey {
  const named = `${usage}_key`;
  if (key['user_id'] !== userId)
    throw MatrixError.invalidParam(`${named}.user_id must be that of the access token`);
  const { usage: usages, keys, signatures = {} } = key;
  if (!Array.isArray(usages) || !usages.every((one) => typeof one === 'string'))
    throw MatrixError.invalidParam(`${named}.usage must be a list of strings`);
  if (!usages.includes(usage)) throw MatrixError.invalidParam(`${named}.usage must hold "${usage}"`);
  if (!isObject(keys) || !Object.values(keys).every((one) => typeof one === 'string'))
    throw MatrixError.invalidParam(`${named}.keys must be an object of strings`);
  const [entry, ...others] = Object.entries(keys);
  const [keyId, publicKey] = entry ?? [];
  if (others.length > 0 || !isPublicKey(String(publicKey)) || keyId !== ed25519(String(publicKey)))
    throw MatrixError.invalidParam(`${named}.keys must hold one key, "ed25519:" and its unpadded base64`);
  if (!areSignatures(signatures))
    throw MatrixError.invalidParam(`${named}.signatures must hold texts by user and key`);
  requireFewBytes('LIMIT_CROSS_SIGNING_KEY', named, JSON.stringify(key), keyBytes);
  return { usage, publicKey: String(publicKey), key };
}

/** Whether the key is the stored one, apart from signatures. */
export function isCurrent(stored: KeySet, { usage, key }: CrossSigningKey): boolean {
  const current = stored.get(usage);
  return current !== undefined && isSameUnsigned(current.key, key);
}

/**
 * Whether the user must prove who they are. The first keys need no proof, nor does repeating the stored keys, master
 * key included. Adding a key to a stored master key needs one.
 */
export function needsProof(stored: KeySet, uploaded: KeySet): boolean {
  const isRepeated = uploaded.has('master') && [...uploaded.values()].every((key) => isCurrent(stored, key));
  return stored.has('master') && !isRepeated;
}

/**
 * Returns the current keys that an upload retires: those it replaces and, if the master key changes, those that the
 * old one signed.
 * @throws {MatrixError} `M_INVALID_PARAM` for a public key that is in use for something else
 */
export function retiredBy(stored: KeySet, uploaded: KeySet): CrossSigningKey[] {
  const master = stored.get('master');
  const isNewMaster = (uploaded.get('master') ?? master)?.publicKey !== master?.publicKey;
  const retired = [...stored.values()].filter(({ usage, publicKey }) => {
    const next = uploaded.get(usage);
    return next === undefined ? isNewMaster : next.publicKey !== publicKey;
  });
  const kept = [...stored.values()].filter((key) => !retired.includes(key));
  const isInUse = (one: CrossSigningKey) =>
    kept.some(({ usage, publicKey }) => publicKey === one.publicKey && usage !== one.usage);
  if ([...uploaded.values()].some(isInUse)) throw usedTwice();
  return retired;
}

/**
 * Checks that the self-signing and the user-signing key are signed by the master key: the uploaded one, or else the
 * stored one.
 * @throws {MatrixError} `M_MISSING_PARAM` if there is no master key; `M_INVALID_SIGNATURE`
 */
export async function requireMasterSignatures(
  userId: string,
  stored: KeySet,
  uploaded: KeySet,
): Promise<void> {
  const master = uploaded.get('master') ?? stored.get('master');
  for (const { usage, key } of uploaded.values()) {
    if (usage === 'master') continue;
    if (master === undefined) throw MatrixError.missingParam('master_key');
    const signature = signaturesBy(key, userId).get(ed25519(master.publicKey));
    if (signature === undefined || !(await isSignedWith(signedBytes(key), master.publicKey, signature)))
      throw invalidSignature(`${usage}_key is not signed by the master key`);
  }
}

function usedTwice(): MatrixError {
  return MatrixError.invalidParam('One public key may not be used for two things');
}

export function invalidSignature(message: string): MatrixError {
  return new MatrixError(400, 'M_INVALID_SIGNATURE', message);
}
