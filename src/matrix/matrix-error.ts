import type { LimitVariable } from '../config/limits.js';

/** The error codes this service answers with (client-server API, "Common error codes"). */
export type Errcode =
  | 'M_BAD_JSON'
  | 'M_EXCLUSIVE'
  | 'M_FORBIDDEN'
  | 'M_GUEST_ACCESS_FORBIDDEN'
  | 'M_INVALID_PARAM'
  | 'M_INVALID_SIGNATURE'
  | 'M_INVALID_USERNAME'
  | 'M_LIMIT_EXCEEDED'
  | 'M_MISSING_PARAM'
  | 'M_MISSING_TOKEN'
  | 'M_NOT_FOUND'
  | 'M_NOT_JSON'
  | 'M_TOO_LARGE'
  | 'M_UNKNOWN'
  | 'M_UNKNOWN_DEVICE'
  | 'M_UNKNOWN_TOKEN'
  | 'M_UNRECOGNIZED'
  | 'M_USER_DEACTIVATED'
  | 'M_USER_IN_USE'
  | 'M_USER_LOCKED'
  | 'M_WEAK_PASSWORD';

/**
 * An error that defines its own HTTP answer.
 *
 * @example
 * ```ts
 * class Moved extends ErrorAnswer {
 *   readonly status = 410;
 *   toBody() {
 *     return { errcode: 'ORG.EXAMPLE.MOVED', error: 'Ask the other server' };
 *   }
 * }
 * ```
 */
export abstract class ErrorAnswer extends Error {
  /** The HTTP status. */
  abstract readonly status: number;
  /** Headers that go with the body. */
  readonly headers: Readonly<Record<string, string>> = {};
  /** The JSON of the answer. */
  abstract toBody(): Record<string, unknown>;
}

/**
 * A Matrix error: throw it anywhere below a controller, and the client gets `status` with
 * `{ errcode, error, ...extra }`. The message is public; put what only the log may contain into `cause`.
 *
 * @example
 * ```ts
 * throw MatrixError.notFound('There is no such note');
 * throw new MatrixError(403, 'M_FORBIDDEN', 'Not yours', { owner }, { cause });
 * ```
 */
export class MatrixError extends ErrorAnswer {
  constructor(
    override readonly status: number,
    readonly errcode: Errcode,
    message: string,
    readonly extra: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'MatrixError';
  }

  override toBody(): Record<string, unknown> {
    return { errcode: this.errcode, error: this.message, ...this.extra };
  }

  /** 401 `M_MISSING_TOKEN`: the request has no usable access token. */
  static missingToken(): MatrixError {
    return new MatrixError(
      401,
      'M_MISSING_TOKEN',
      'An access token is needed: Authorization: Bearer <token>',
    );
  }

  /**
   * 401 `M_UNKNOWN_TOKEN`.
   * @param softLogout `true` only while the device exists: the client keeps its encryption keys and may log in again.
   *   Otherwise the client treats the session as destroyed and discards them ("Soft logout").
   */
  static unknownToken(softLogout = false): MatrixError {
    const message = softLogout ? 'The token has expired or was replaced' : 'Unknown token';
    return new MatrixError(401, 'M_UNKNOWN_TOKEN', message, softLogout ? { soft_logout: true } : {});
  }

  /** 401 `M_USER_LOCKED`. A locked user's sessions stay, so that clients keep their keys ("Account locking"). */
  static userLocked(): MatrixError {
    return new MatrixError(401, 'M_USER_LOCKED', 'This account has been locked', { soft_logout: true });
  }

  /**
   * 429 `M_LIMIT_EXCEEDED`.
   * @param retryAfterMs when the next attempt may succeed, in milliseconds
   */
  static limitExceeded(retryAfterMs: number): MatrixError {
    return new LimitExceeded(retryAfterMs, null);
  }

  /** 400 `M_UNKNOWN` for an authentication session that does not exist, or no longer does. */
  static unknownSession(): MatrixError {
    return new MatrixError(400, 'M_UNKNOWN', 'Unknown or expired authentication session');
  }

  /** 403 `M_FORBIDDEN`. */
  static forbidden(message: string): MatrixError {
    return new MatrixError(403, 'M_FORBIDDEN', message);
  }

  /** 404 `M_NOT_FOUND`. */
  static notFound(message: string): MatrixError {
    return new MatrixError(404, 'M_NOT_FOUND', message);
  }

  /** 400 `M_BAD_JSON`: JSON of the wrong shape. */
  static badJson(message: string): MatrixError {
    return new MatrixError(400, 'M_BAD_JSON', message);
  }

  /** 400 `M_NOT_JSON`. */
  static notJson(message = 'The body is not JSON'): MatrixError {
    return new MatrixError(400, 'M_NOT_JSON', message);
  }

  /** 400 `M_MISSING_PARAM`, naming the parameter. */
  static missingParam(name: string): MatrixError {
    return new MatrixError(400, 'M_MISSING_PARAM', `Missing parameter: ${name}`);
  }

  /** 400 `M_INVALID_PARAM`. */
  static invalidParam(message: string): MatrixError {
    return new MatrixError(400, 'M_INVALID_PARAM', message);
  }
}

/** Sends the waiting time twice: browsers cannot read the header, and newer clients ignore the key. */
export class LimitExceeded extends MatrixError {
  override readonly headers: Readonly<Record<string, string>>;

  /** @param variable what sets the limit, unless it is a rate limit */
  constructor(
    retryAfterMs: number,
    readonly variable: LimitVariable | null,
  ) {
    super(429, 'M_LIMIT_EXCEEDED', 'Too many requests', { retry_after_ms: retryAfterMs });
    this.headers = { 'Retry-After': String(Math.ceil(retryAfterMs / 1_000)) };
  }
}

/** The request asks for more, or the user would own more, than a variable allows. */
export class BeyondLimit extends MatrixError {
  constructor(
    readonly variable: LimitVariable,
    ...[status, errcode, message]: [status: number, errcode: Errcode, message: string]
  ) {
    super(status, errcode, message);
  }
}
