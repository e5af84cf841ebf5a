import { Clock } from '../system/clock.js';

/**
 * Runs with the machine's clock until it is moved.
 *
 * @example
 * ```ts
 * app.clock.advance(60_000);
 * await app.drain();
 * ```
 */
export class TestClock extends Clock {
  private ahead = 0;

  now(): Date {
    return new Date(Date.now() + this.ahead);
  }

  advance(milliseconds: number): void {
    this.ahead += milliseconds;
  }
}
