/**
 * Something that a request needs is temporarily unavailable. The request itself is fine and may succeed in a moment.
 * Clients get 503 and `Retry-After`.
 */
export class Unavailable extends Error {
  constructor(
    message: string,
    options?: ErrorOptions,
    /** After how long the client should try again. */
    readonly retryAfterMs = 2_000,
  ) {
    super(message, options);
    this.name = 'Unavailable';
  }
}

/** The error and its chain of causes. */
export function* causesOf(error: unknown): Generator<Error & { code?: unknown }> {
  for (let one = error; one instanceof Error; one = one.cause) yield one;
}

/** The {@link Unavailable} that an error is or was caused by; `undefined` if there is none. */
export function unavailableIn(error: unknown): Unavailable | undefined {
  return [...causesOf(error)].find((one): one is Unavailable => one instanceof Unavailable);
}

export function isUnavailable(error: unknown): boolean {
  return unavailableIn(error) !== undefined;
}

/**
 * SQLSTATEs and operating system codes that mean that the database is unavailable: connection lost, no free
 * connection, disk full or broken, shutting down or starting, read-only standby.
 */
const OUTAGE = /^(?:08...|53...|57P0.|58000|58030|25006|E[A-Z]+)$/;
/** Messages of `pg` errors that have no code. */
const WORDS =
  /^(?:Connection terminated|Query read timeout|Client (?:has encountered|was closed)|timeout (?:exceeded|expired))/;

/**
 * Whether an error of the database or its connection means that the database is unavailable for any statement. Only
 * for errors from there: the same codes in a listener may mean a missing file or a host that does not answer.
 */
export function isOutage(error: unknown): boolean {
  return [...causesOf(error)].some(({ code, message }) => OUTAGE.test(String(code)) || WORDS.test(message));
}

const LOST_CODES = /^(?:08...|57P0[12]|ECONNRESET|EPIPE)$/;

/** Whether an open connection died, so that a new one may work at once. Also only for database errors. */
export function isConnectionLost(error: unknown): boolean {
  return [...causesOf(error)].some(
    ({ code, message }) =>
      LOST_CODES.test(String(code)) || /^(?:Connection terminated|Client )/.test(message),
  );
}

/** Whether all connections that PostgreSQL allows are in use, by others or by the same pool. */
export function isTooManyConnections(error: unknown): boolean {
  return [...causesOf(error)].some(({ code }) => code === '53300');
}

/** Logs that background work failed, unless the cause is an outage, which is logged elsewhere. */
export function warnUnlessOutage(
  logger: { warn(message: string): void },
  what: string,
  error: unknown,
): void {
  if (!isUnavailable(error)) logger.warn(`${what}: ${String(error)}`);
}
