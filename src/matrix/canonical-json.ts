import { configure } from 'safe-stable-stringify';

const stringify = configure({ deterministic: byCodePoint, circularValue: TypeError });

/** One spelling for each JSON value, for comparisons. */
export function orderedJson(value: object): string {
  return stringify(value);
}

/**
 * The spelling of a JSON value that is signed (appendices, "Canonical JSON").
 * @throws {TypeError} for a number that is not an integer within 2^53 - 1
 */
export function canonicalJson(value: object): string {
  return stringify(value, integersOnly);
}

/**
 * Orders keys by code point. JavaScript orders strings by UTF-16 units, in which the surrogates of a code point
 * beyond 2^16 come before U+E000 to U+FFFF. Clients control how often this is called, so it avoids allocations.
 */
function byCodePoint(one: string, other: string): number {
  const length = Math.min(one.length, other.length);
  for (let at = 0; at < length; at += 1) {
    const [unit, otherUnit] = [one.charCodeAt(at), other.charCodeAt(at)];
    if (unit !== otherUnit) return rank(unit) - rank(otherUnit);
  }
  return one.length - other.length;
}

function rank(unit: number): number {
  const isHalf = unit >= 0xd800 && unit < 0xe000;
  return isHalf ? unit + 0x10000 : unit;
}

function integersOnly(_: string, value: unknown) {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw new TypeError('Canonical JSON holds integers within 2^53 - 1 only');
  }
  return value as object;
}
