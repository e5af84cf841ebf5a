import pLimit from 'p-limit';
import { Unavailable } from '../system/outage.js';

/** How many may work, and how many may wait for how long. */
export interface TurnsOptions {
  readonly atOnce: number;
  readonly waiting: number;
  readonly waitMs: number;
  /** Called for each refusal. */
  readonly onRefusal?: () => void;
}

/**
 * Limits how many work at once, and how many wait for their turn and for how long, so that a slow database does not
 * fill the memory.
 */
export class Turns {
  private readonly limit;

  constructor(private readonly options: TurnsOptions) {
    this.limit = pLimit(options.atOnce);
  }

  /** How many wait. */
  get waiting(): number {
    return this.limit.pendingCount;
  }

  /** @throws {Unavailable} when too many wait, or the turn did not come in time */
  take<Result>(work: () => Promise<Result>): Promise<Result> {
    const { atOnce, waiting, waitMs } = this.options;
    if (this.limit.activeCount < atOnce && this.limit.pendingCount === 0) return this.limit(work);
    if (this.limit.pendingCount >= waiting) {
      this.options.onRefusal?.();
      return Promise.reject(new Unavailable('Too many requests wait for the database'));
    }
    return new Promise((resolve, reject) => {
      let isLate = false;
      const timer = setTimeout(() => {
        isLate = true;
        this.options.onRefusal?.();
        reject(new Unavailable('The database is too slow for all who wait for it'));
      }, waitMs);
      void this.limit(async () => {
        clearTimeout(timer);
        if (!isLate) await work().then(resolve, reject);
      });
    });
  }
}
