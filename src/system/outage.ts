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

/**
 * SQLSTATE classes, and codes of operating systems, that say that there is no database to be had just now: connection lost,
 * no connection free, shutting down or starting, a disk that is full, a standby that only reads.
 */
const OUTAGE = /^(?:08|53|57P|58|XX|25006$|E[A-Z]+$)/;
/** What `pg` says without a code. */
const LOST = /^(?:Connection terminated|Query read timeout|Client (?:has encountered|was closed))/;
const NO_CONNECTION = /^timeout (?:exceeded when trying to connect|expired)/;

/** Whether the error says that the database cannot be had, whatever is asked of it. */
export function isOutage(error: unknown): boolean {
  return [...causesOf(error)].some(
    (one) =>
      one instanceof Unavailable ||
      OUTAGE.test(String(one.code)) ||
      LOST.test(one.message) ||
      NO_CONNECTION.test(one.message),
  );
}

const LOST_CODES = /^(?:08|57P0[12]|ECONNRESET$|EPIPE$)/;

/** Whether a connection that was there died: another may be had at once. */
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
  if (![...causesOf(error)].some((one) => one instanceof Unavailable))
    logger.warn(`${what}: ${String(error)}`);
}
