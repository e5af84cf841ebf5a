import { configure } from 'safe-stable-stringify';

const stringify = configure({ deterministic: byCodePoint, circularValue: TypeError });

/** One spelling for each JSON value, for comparing. */
export function orderedJson(value: object): string {
  return stringify(value);
}

/**
 * The one spelling of a JSON value that is signed (appendices, "Canonical JSON").
 * @throws {TypeError} for a number that is no integer within 2^53 - 1
 */
export function canonicalJson(value: object): string {
  return stringify(value, integersOnly);
}

/** Keys go by code point, and so do the bytes of UTF-8; JavaScript's own order is another one. */
function byCodePoint(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}

function integersOnly(_: string, value: unknown) {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw new TypeError('Canonical JSON holds integers within 2^53 - 1 only');
  }
  return value as object;
}
