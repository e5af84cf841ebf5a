import type { Request } from 'express';
import { isStorable, readBytes } from './json-body.js';
import { OAuthError } from './oauth-error.js';

/** Far more than any form here has. */
const MOST_BYTES = 64 * 1_024;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The parameters of a form or a query. An empty one counts as missing (RFC 6749, section 3.1). */
export class Parameters {
  private constructor(
    private readonly values: ReadonlyMap<string, readonly string[]>,
    /** The names that stand there more than once. */
    readonly repeated: ReadonlySet<string>,
  ) {}

  /**
   * Reads parameters in the form of `application/x-www-form-urlencoded`.
   * @throws {OAuthError} 400 `invalid_request` for what is no UTF-8, or has NUL or half a character
   */
  static parse(text: string): Parameters {
    const values = new Map<string, string[]>();
    for (const pair of text.split('&')) {
      const at = pair.indexOf('=');
      const name = decode(at === -1 ? pair : pair.slice(0, at));
      const value = at === -1 ? '' : decode(pair.slice(at + 1));
      if (value === '') continue;
      const before = values.get(name);
      if (before === undefined) values.set(name, [value]);
      else before.push(value);
    }
    const repeated = [...values].filter(([, all]) => all.length > 1).map(([name]) => name);
    return new Parameters(values, new Set(repeated));
  }

  /** The value of a parameter; `null` if it is missing. Of a repeated one, the first. */
  get(name: string): string | null {
    return this.values.get(name)?.[0] ?? null;
  }

  /** The first value of each parameter. */
  toObject(): Record<string, string> {
    return Object.fromEntries([...this.values].map(([name, [first]]) => [name, first!]));
  }

  /** All values of a parameter that may stand there more than once. */
  getAll(name: string): readonly string[] {
    return this.values.get(name) ?? [];
  }

  /**
   * The value of a parameter.
   * @throws {OAuthError} 400 `invalid_request` if it is missing
   */
  need(name: string): string {
    const value = this.get(name);
    if (value === null) throw new OAuthError(400, 'invalid_request', `The parameter ${name} is needed`);
    return value;
  }

  /** @throws {OAuthError} 400 `invalid_request` if a parameter stands there more than once */
  requireUnrepeated(): this {
    const [name] = this.repeated;
    if (name !== undefined)
      throw new OAuthError(400, 'invalid_request', 'A parameter stands there more than once');
    return this;
  }
}

/**
 * Reads the body of the request as a form.
 * @throws {OAuthError} 400 `invalid_request` for another type, and for what {@link Parameters.parse} refuses
 * @throws {MatrixError} 413 `M_TOO_LARGE`
 */
export async function readForm(request: Request, mostBytes = MOST_BYTES): Promise<Parameters> {
  if (!request.is('application/x-www-form-urlencoded'))
    throw new OAuthError(400, 'invalid_request', 'The body must be application/x-www-form-urlencoded');
  return Parameters.parse(toText(await readBytes(request, mostBytes)));
}

/** The parameters in the URL of a request. */
export function readQuery(request: Request): Parameters {
  return Parameters.parse(queryOf(request));
}

/** The query of a request as the client wrote it, without the question mark. */
export function queryOf({ originalUrl }: Request): string {
  const at = originalUrl.indexOf('?');
  return at === -1 ? '' : originalUrl.slice(at + 1);
}

function toText(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new MalformedParameters();
  }
}

function decode(text: string): string {
  try {
    const decoded = decodeURIComponent(text.replaceAll('+', ' '));
    if (isStorable(decoded)) return decoded;
  } catch {
    // Broken percent-encoding is refused like NUL.
  }
  throw new MalformedParameters();
}

/** The parameters are no text that could be stored, so nothing that is known can be named in them. */
export class MalformedParameters extends OAuthError {
  constructor() {
    super(400, 'invalid_request', 'The parameters are no UTF-8, or have NUL in them');
  }
}
