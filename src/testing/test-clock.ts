import { Clock } from '../system/clock.js';

/**
 * A clock that follows the machine's and can be moved ahead of it.
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
