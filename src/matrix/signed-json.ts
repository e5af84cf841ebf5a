import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { promisify } from 'node:util';
import { canonicalJson, orderedJson } from './canonical-json.js';
import { isObject, type Json } from './json.js';

const verifyInThreadPool = promisify<null, Buffer, KeyObject, Buffer, boolean>(verify);

/** A JSON object that may carry signatures. */
export type SignedJson = Json;

const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;

/** The Ed25519 signatures that `userId` has made over the object, by key ID; other algorithms are not known here. */
export function signaturesBy(object: SignedJson, userId: string): Map<string, string> {
  const { [userId]: own } = asObject(object['signatures']);
  return new Map(
    Object.entries(asObject(own)).filter(
      (entry): entry is [string, string] => entry[0].startsWith('ed25519:') && typeof entry[1] === 'string',
    ),
  );
}

/** Whether a value has the form of signatures: texts by user, and then by key. */
export function areSignatures(value: unknown): boolean {
  const isText = (one: unknown) => typeof one === 'string';
  return (
    isObject(value) && Object.values(value).every((own) => isObject(own) && Object.values(own).every(isText))
  );
}

/** Whether two objects are the same, whatever the order of their keys. */
export function isSameJson(one: Json, other: Json): boolean {
  return orderedJson(one) === orderedJson(other);
}

/** Whether two objects are the same but for what is not signed. */
export function isSameUnsigned(one: SignedJson, other: SignedJson): boolean {
  return isSameJson(signedPart(one), signedPart(other));
}

/** What is signed of an object: made once for all of its signatures. `null` where canonical JSON has no form for it. */
export function signedBytes(object: SignedJson): Buffer | null {
  try {
    return Buffer.from(canonicalJson(signedPart(object)));
  } catch {
    return null;
  }
}

/**
 * Whether `signature` is that of the Ed25519 key over the bytes of an object (appendices, "Checking for a Signature").
 * @param publicKey in unpadded base64
 */
export async function isSignedWith(
  signed: Buffer | null,
  publicKey: string,
  signature: string,
): Promise<boolean> {
  const bytes = Buffer.from(signature, 'base64');
  // One spelling only: others would be stored, and handed out to clients that cannot read them.
  if (bytes.length !== SIGNATURE_BYTES || unpadded(bytes) !== signature || !isPublicKey(publicKey))
    return false;
  if (signed === null) return false;
  try {
    const x = Buffer.from(publicKey, 'base64').toString('base64url');
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    return await verifyInThreadPool(null, signed, key, bytes);
  } catch {
    // No point of the curve.
    return false;
  }
}

/** Whether the text is an Ed25519 key in unpadded base64, in its one spelling. */
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
