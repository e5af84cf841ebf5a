import { pipeline, type Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import type { Request } from 'express';
import getRawBody from 'raw-body';
import { BeyondLimit, MatrixError } from './matrix-error.js';

/** Far deeper than any Matrix body, and far less than a recursive function can handle. */
const LIMIT_DEPTH = 100;

/** How long a client whose body was refused early may read the answer before its connection is cut. */
const LINGER_MS = 1_000;
const DECODERS: ReadonlyMap<string, () => Transform> = new Map<string, () => Transform>([
  ['gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
]);

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads the request's body as a JSON object, whatever its Content-Type ("API Standards"); `null` if there is no body.
 * @param unchecked a key whose text may contain what PostgreSQL cannot store; the caller checks it
 * @throws {MatrixError} `M_NOT_JSON`, `M_BAD_JSON` or `M_TOO_LARGE`
 */
export async function readJsonBody(
  request: Request,
  mostBytes: number,
  unchecked?: string,
): Promise<object | null> {
  const bytes = await readBytes(request, mostBytes);
  if (bytes.length === 0) return null;
  const value = parse(bytes);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw MatrixError.badJson('The body must be a JSON object');
  }
  refuseUnstorable(unchecked === undefined ? value : withoutText(value, unchecked));
  return value;
}

/** Refuses a body at the limit. Express's parser would first read it to the end, and an endless body has none. */
export async function readBytes(request: Request, mostBytes: number): Promise<Buffer> {
  const { 'content-encoding': encoding = 'identity', 'content-length': length } = request.headers;
  const decoder = DECODERS.get(encoding.toLowerCase());
  if (decoder === undefined && encoding.toLowerCase() !== 'identity')
    throw new MatrixError(415, 'M_UNKNOWN', 'The body is encoded in a way that is not known here');
  try {
    return decoder === undefined
      ? await getRawBody(request, { limit: mostBytes, length })
      : await getRawBody(
          pipeline(request, decoder(), () => {}),
          { limit: mostBytes },
        );
  } catch (error) {
    setTimeout(() => request.complete || request.socket.destroy(), LINGER_MS).unref();
    const { status } = error as { status?: number };
    if (status === 413) {
      throw new BeyondLimit('LIMIT_BODY', 413, 'M_TOO_LARGE', `The body may have at most ${mostBytes} bytes`);
    }
    throw new MatrixError(status ?? 400, 'M_UNKNOWN', 'The body could not be read', {}, { cause: error });
  }
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(utf8.decode(bytes));
  } catch (error) {
    throw MatrixError.notJson(error instanceof SyntaxError ? undefined : 'The body is not UTF-8');
  }
}

function withoutText(value: object, key: string): object {
  return Object.fromEntries(
    Object.entries(value).filter(([name, text]) => name !== key || typeof text !== 'string'),
  );
}

/** Refuses what would fail in a statement, or be changed, when it is stored. */
function refuseUnstorable(root: object): void {
  let level: unknown[] = [root];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > LIMIT_DEPTH) throw MatrixError.badJson(`The body nests deeper than ${LIMIT_DEPTH} levels`);
    const next: unknown[] = [];
    for (const value of level) {
      if (typeof value === 'string') {
        if (!isStorable(value)) throw MatrixError.badJson('Strings may hold neither NUL nor lone surrogates');
      } else if (typeof value === 'number') {
        if (!isExact(value)) throw MatrixError.badJson('Numbers beyond 2^53 - 1 cannot be kept as they are');
      } else if (typeof value === 'object' && value !== null) {
        // Pushed one by one, because a function cannot take a hundred thousand arguments.
        for (const [key, property] of Object.entries(value)) {
          if (!Array.isArray(value)) next.push(key);
          next.push(property);
        }
      }
    }
    level = next;
  }
}

/** Whether JavaScript read the number exactly as written: signed JSON must be returned unchanged. */
function isExact(number: number): boolean {
  return Number.isFinite(number) && (!Number.isInteger(number) || Number.isSafeInteger(number));
}

/** Whether PostgreSQL can store `text`. */
export function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}
