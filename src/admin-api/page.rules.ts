import { MatrixError } from '../matrix/matrix-error.js';

const TOKEN = /^(\d{1,15})_([\w-]{1,64})$/;

/** A place in a list that is ordered by time: directly after the entry of this time and ID. */
export interface PagePosition {
  readonly at: Date;
  readonly id: string;
}

/** The `next_batch` of a page that ends at this position. */
export function toPageToken({ at, id }: PagePosition): string {
  return `${at.getTime()}_${id}`;
}

/**
 * The position that `from` names; `null` without one.
 * @throws {MatrixError} `M_INVALID_PARAM`
 */
export function readPageToken(from: unknown): PagePosition | null {
  if (from === undefined) return null;
  const [, at, id] = (typeof from === 'string' && TOKEN.exec(from)) || [];
  if (at === undefined || id === undefined)
    throw MatrixError.invalidParam('from must be the next_batch of an answer');
  return { at: new Date(Number(at)), id };
}

/**
 * The most entries that a page may have.
 * @throws {MatrixError} `M_INVALID_PARAM`
 */
export function readLimit(text: unknown, { byDefault, most }: { byDefault: number; most: number }): number {
  if (text === undefined) return byDefault;
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 1 || limit > most)
    throw MatrixError.invalidParam(`limit must be a number from 1 to ${most}`);
  return limit;
}

/**
 * A parameter that may be given only once; `null` if it is missing.
 * @throws {MatrixError} `M_INVALID_PARAM`
 */
export function readName(name: string, value: unknown): string | null {
  if (value !== undefined && typeof value !== 'string')
    throw MatrixError.invalidParam(`${name} may be given once`);
  return value ?? null;
}
