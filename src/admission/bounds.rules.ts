import type { LimitVariable } from '../config/limits.js';
import { BeyondLimit } from '../matrix/matrix-error.js';

/** @throws {BeyondLimit} 400 `M_TOO_LARGE` if the JSON of a value has too many bytes */
export function requireFewBytes(variable: LimitVariable, what: string, json: string, most: number): void {
  if (json.length > most || Buffer.byteLength(json) > most)
    throw tooLarge(variable, `${what} may have at most ${most} bytes`);
}

/** @throws {BeyondLimit} 400 `M_INVALID_PARAM` */
export function requireFew(variable: LimitVariable, what: string, count: number, most: number): void {
  if (count > most) throw tooMany(variable, what, most);
}

export function tooMany(variable: LimitVariable, what: string, most: number): BeyondLimit {
  return new BeyondLimit(variable, 400, 'M_INVALID_PARAM', `At most ${most} ${what} are allowed`);
}

export function tooLarge(variable: LimitVariable, message: string): BeyondLimit {
  return new BeyondLimit(variable, 400, 'M_TOO_LARGE', message);
}
