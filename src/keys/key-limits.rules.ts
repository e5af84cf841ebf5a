import { MatrixError } from '../matrix/matrix-error.js';

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
