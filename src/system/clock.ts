/**
 * The only source of the current time. Tests replace it with `TestClock` from the testing kit.
 *
 * @example
 * ```ts
 * class Late extends Clock {
 *   now() {
 *     return new Date(Date.now() - 1_000);
 *   }
 * }
 * createApplication({ environment, database, clock: new Late() });
 * ```
 */
export abstract class Clock {
  /** The current time. */
  abstract now(): Date;
}

/**
 * The machine's clock.
 *
 * @example
 * ```ts
 * createApplication({ environment, database, clock: new SystemClock() });
 * ```
 */
export class SystemClock extends Clock {
  now(): Date {
    return new Date();
  }
}
