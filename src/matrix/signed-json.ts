import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { promisify } from 'node:util';
import { canonicalJson, orderedJson } from './canonical-json.js';
import { isObject, type Json } from './json.js';

const verifyInThreadPool = promisify<null, Buffer, KeyObject, Buffer, boolean>(verify);

/** A JSON object that may carry signatures. */
export type SignedJson = Json;

const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;

/** The Ed25519 signatures of `userId` over the object, by key ID. Other algorithms are not supported. */
export function signaturesBy(object: SignedJson, userId: string): Map<string, string> {
  const { [userId]: own } = asObject(object['signatures']);
  return new Map(
    Object.entries(asObject(own)).filter(
      (entry): entry is [string, string] => entry[0].startsWith('ed25519:') && typeof entry[1] === 'string',
    ),
  );
}

/** Whether a value has the shape of signatures: strings by user and key. */
export function areSignatures(value: unknown): boolean {
  const isText = (one: unknown) => typeof one === 'string';
  return (
    isObject(value) && Object.values(value).every((own) => isObject(own) && Object.values(own).every(isText))
  );
}

/** Whether two objects are equal, in any order of keys. */
export function isSameJson(one: Json, other: Json): boolean {
  return orderedJson(one) === orderedJson(other);
}

/** Whether the signed parts of two objects are equal. */
export function isSameUnsigned(one: SignedJson, other: SignedJson): boolean {
  return isSameJson(signedPart(one), signedPart(other));
}

/** The bytes of an object that all its signatures cover; `null` if canonical JSON cannot express it. */
export function signedBytes(object: SignedJson): Buffer | null {
  try {
    return Buffer.from(canonicalJson(signedPart(object)));
  } catch {
    return null;
  }
}

/**
 * Whether the Ed25519 key has made `signature` over the bytes of an object (appendices, "Checking for a Signature").
 * @param publicKey in unpadded base64
 */
export async function isSignedWith(
  signed: Buffer | null,
  publicKey: string,
  signature: string,
): Promise<boolean> {
  const bytes = Buffer.from(signature, 'base64');
  // Other spellings would be stored and returned to clients that cannot read them.
  if (bytes.length !== SIGNATURE_BYTES || unpadded(bytes) !== signature || !isPublicKey(publicKey))
    return false;
  if (signed === null) return false;
  try {
    const x = Buffer.from(publicKey, 'base64').toString('base64url');
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    return await verifyInThreadPool(null, signed, key, bytes);
  } catch {
    // The key is not a point on the curve.
    return false;
  }
}

/** Whether the text is an Ed25519 key in canonical, unpadded base64. */
export function isPublicKey(text: string): boolean {
  const bytes = Buffer.from(text, 'base64');
  return bytes.length === KEY_BYTES && unpadded(bytes) === text;
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}

function signedPart(object: SignedJson): Json {
  const { signatures: _, unsigned: __, ...signed } = object;
  return signed;
}

function asObject(value: unknown): Json {
  return isObject(value) ? value : {};
}
