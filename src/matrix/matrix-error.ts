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

/** Anything thrown that knows how it is answered. */
export abstract class ErrorAnswer extends Error {
  abstract readonly status: number;
  /** Headers that go with the body. */
  readonly headers: Readonly<Record<string, string>> = {};
  abstract toBody(): Record<string, unknown>;
}

/**
 * An answer that is an error in Matrix's own terms: throw it anywhere below a controller and the client gets
 * `status` with `{ errcode, error, ...extra }`. The message is public; what only the log may know goes into `cause`.
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

  static missingToken(): MatrixError {
    return new MatrixError(
      401,
      'M_MISSING_TOKEN',
      'An access token is needed: Authorization: Bearer <token>',
    );
  }

  /**
   * @param softLogout `true` only while the device lives: the client keeps its encryption keys and may come back.
   *   Otherwise the client takes the session for destroyed and discards them ("Soft logout").
   */
  static unknownToken(softLogout = false): MatrixError {
    const message = softLogout ? 'The token has expired or was replaced' : 'Unknown token';
    return new MatrixError(401, 'M_UNKNOWN_TOKEN', message, softLogout ? { soft_logout: true } : {});
  }

  /** Sessions of a locked user stay, so that a client keeps its keys ("Account locking"). */
  static userLocked(): MatrixError {
    return new MatrixError(401, 'M_USER_LOCKED', 'This account has been locked', { soft_logout: true });
  }

  /** @param retryAfterMs when the next attempt may succeed, in milliseconds */
  static limitExceeded(retryAfterMs: number): MatrixError {
    return new LimitExceeded(retryAfterMs);
  }

  static forbidden(message: string): MatrixError {
    return new MatrixError(403, 'M_FORBIDDEN', message);
  }

  static notFound(message: string): MatrixError {
    return new MatrixError(404, 'M_NOT_FOUND', message);
  }

  static badJson(message: string): MatrixError {
    return new MatrixError(400, 'M_BAD_JSON', message);
  }

  static notJson(message = 'The body is not JSON'): MatrixError {
    return new MatrixError(400, 'M_NOT_JSON', message);
  }

  static missingParam(name: string): MatrixError {
    return new MatrixError(400, 'M_MISSING_PARAM', `Missing parameter: ${name}`);
  }

  static invalidParam(message: string): MatrixError {
    return new MatrixError(400, 'M_INVALID_PARAM', message);
  }
}

/** Both spellings of the waiting time: browsers cannot read the header, newer clients do not look at the key. */
class LimitExceeded extends MatrixError {
  override readonly headers: Readonly<Record<string, string>>;

  constructor(retryAfterMs: number) {
    super(429, 'M_LIMIT_EXCEEDED', 'Too many requests', { retry_after_ms: retryAfterMs });
    this.headers = { 'Retry-After': String(Math.ceil(retryAfterMs / 1_000)) };
  }
}
