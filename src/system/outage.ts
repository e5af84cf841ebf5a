/**
 * What a request needs cannot be had just now; nothing is wrong with the request, and it may succeed in a moment.
 * Clients are answered with 503 and `Retry-After`.
 */
export class Unavailable extends Error {
  constructor(
    message: string,
    options?: ErrorOptions,
    /** When it is worth another try. */
    readonly retryAfterMs = 2_000,
  ) {
    super(message, options);
    this.name = 'Unavailable';
  }
}

/** The error and what caused it. */
export function* causesOf(error: unknown): Generator<Error & { code?: unknown }> {
  for (let one = error; one instanceof Error; one = one.cause) yield one;
}

/** The {@link Unavailable} that an error is, or was caused by; `undefined` when it is of another kind. */
export function unavailableIn(error: unknown): Unavailable | undefined {
  return [...causesOf(error)].find((one): one is Unavailable => one instanceof Unavailable);
}

export function isUnavailable(error: unknown): boolean {
  return unavailableIn(error) !== undefined;
}

/**
 * SQLSTATEs, and codes of operating systems, that say that there is no database to be had just now: connection lost, no
 * connection free, a disk that is full or broken, shutting down or starting, a standby that only reads.
 */
const OUTAGE = /^(?:08...|53...|57P0.|58000|58030|25006|E[A-Z]+)$/;
/** What `pg` says without a code. */
const WORDS =
  /^(?:Connection terminated|Query read timeout|Client (?:has encountered|was closed)|timeout (?:exceeded|expired))/;

/**
 * Whether an error of the database, or of the connection to it, says that it cannot be had, whatever is asked of
 * it. Only for errors that come from there: a listener may have met a file that is not there, or a host that does
 * not answer.
 */
export function isOutage(error: unknown): boolean {
  return [...causesOf(error)].some(({ code, message }) => OUTAGE.test(String(code)) || WORDS.test(message));
}

const LOST_CODES = /^(?:08...|57P0[12]|ECONNRESET|EPIPE)$/;

/** Whether a connection that was there died: another may be had at once. For errors of the database, too. */
export function isConnectionLost(error: unknown): boolean {
  return [...causesOf(error)].some(
    ({ code, message }) =>
      LOST_CODES.test(String(code)) || /^(?:Connection terminated|Client )/.test(message),
  );
}

/** The connections that PostgreSQL allows are taken: by others, or by other connections of the same pool. */
export function isTooManyConnections(error: unknown): boolean {
  return [...causesOf(error)].some(({ code }) => code === '53300');
}

/** Warns of what failed behind the scenes; of an outage the database's own line has told. */
export function warnUnlessOutage(
  logger: { warn(message: string): void },
  what: string,
  error: unknown,
): void {
  if (!isUnavailable(error)) logger.warn(`${what}: ${String(error)}`);
}
