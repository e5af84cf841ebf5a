import { Logger } from '@nestjs/common';
import { causesOf, isTooManyConnections } from '../system/outage.js';

/** An outage is over only after this long without a failure: some requests may succeed during one. */
const QUIET_MS = 1_000;
const BUSY_PAUSE_MS = 60_000;

/** Logs once that the database is unavailable and once that it is back, however many requests notice. */
export class OutageLog {
  private readonly logger = new Logger('Database');
  private since: number | null = null;
  private latest = 0;
  private failures = 0;
  /** A read-only server answers look-ups during the outage, so they do not end it. */
  private isReadOnly = false;
  private busyAt = Number.NEGATIVE_INFINITY;

  /** Records that a request failed because of an outage. */
  failed(error: unknown): void {
    const now = performance.now();
    this.latest = now;
    this.failures += 1;
    if (this.since !== null) return;
    this.since = now;
    this.failures = 1;
    this.isReadOnly = [...causesOf(error)].some(({ code }) => code === '25006');
    this.logger.error(`The database is not available; requests are answered with 503: ${reasonOf(error)}`);
  }

  /** Records that the database answered a look-up or a write. */
  answered(to: 'look-up' | 'write'): void {
    if (this.since === null || (this.isReadOnly && to === 'look-up')) return;
    const now = performance.now();
    if (now - this.latest < QUIET_MS) return;
    const seconds = ((now - this.since) / 1_000).toFixed(1);
    this.since = null;
    this.logger.log(`The database is back after ${seconds} s, in which ${this.failures} requests failed`);
  }

  /** Records that a request was refused because too many are waiting. */
  turnedAway(error: Error): void {
    const now = performance.now();
    if (this.since !== null || now - this.busyAt < BUSY_PAUSE_MS) return;
    this.busyAt = now;
    this.logger.warn(`${error.message}: requests are answered with 503 (logged at most once a minute)`);
  }
}

function reasonOf(error: unknown): string {
  const hint = isTooManyConnections(error) ? ' (raise max_connections, or lower DATABASE_POOL_SIZE)' : '';
  return error instanceof Error ? `${error.message || error.name}${hint}` : String(error);
}
