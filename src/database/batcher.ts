import { causesOf, isUnavailable, Unavailable } from '../system/outage.js';
import { Turns } from './turns.js';

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly since: number;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/** How a {@link Batcher} shares. */
export interface Sharing {
  /** Calls that may be under way at the same time. */
  readonly lanes: number;
  /** Items of one call at the most. */
  readonly limit: number;
}

/** Reads that share a statement. */
export const LOOK_UPS: Sharing = { lanes: 2, limit: 256 };

/** Two transactions, so that one works while the other commits; beyond 64 items a shared commit gains little. */
export const GROUP_COMMIT: Sharing = { lanes: 2, limit: 64 };

/** Said of an item that cannot be served in company. */
export const NOT_SERVED = Symbol('not served');

/**
 * Gives one result for each item, in their order.
 * @param inCompany whether others wait behind the call: whatever would take long is to fail with {@link Impatience}, or
 *   with PostgreSQL's `lock_not_available`
 */
export type Serve<Item, Result> = (
  items: readonly Item[],
  inCompany: boolean,
) => Promise<readonly (Result | typeof NOT_SERVED)[]>;

/** Something took longer than others may be kept waiting. */
export class Impatience extends Error {}

/**
 * How many items may wait, those beside the lanes included, and for how long: a database that hangs must not fill
 * the memory.
 */
export const WAITING = { most: 4_096, longestMs: 10_000 };

/**
 * Items that are tried by themselves at the same time, or wait for what somebody holds: they must not take every
 * connection.
 */
const ALONE_AT_ONCE = 4;

/**
 * Serves together what is asked for at the same time. Items that come in one turn of the event loop, or while every
 * lane is taken, go with the next call. There is no timer: who comes alone waits for nobody.
 *
 * When a shared call fails, each of its items is tried by itself, and when that would take long, once more beside
 * the lanes: nobody pays for a neighbour. When it is the database that failed, nothing is tried again. Who waits
 * too long, or finds too many waiting, is refused with {@link Unavailable}.
 */
export class Batcher<Item, Result> {
  private waiting: Waiting<Item, Result>[] = [];
  private underWay = 0;
  private isScheduled = false;
  private readonly beside = new Turns({
    atOnce: ALONE_AT_ONCE,
    waiting: WAITING.most,
    waitMs: WAITING.longestMs,
  });
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly serve: Serve<Item, Result>,
    private readonly sharing: Sharing,
  ) {}

  /** Resolves with what `serve` gives for the item. */
  add(item: Item): Promise<Result> {
    if (this.waiting.length + this.beside.waiting >= WAITING.most)
      return Promise.reject(new Unavailable('Too many requests wait for the database'));
    return new Promise((resolve, reject) => {
      this.waiting.push({ item, since: performance.now(), resolve, reject });
      this.schedule();
    });
  }

  /** Nobody takes those who wait while every lane hangs, so a timer looks after them. */
  private watch(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      const late = this.waiting.findIndex((waiting) => !isLate(waiting));
      for (const waiting of this.waiting.splice(0, late === -1 ? this.waiting.length : late)) refuse(waiting);
      if (this.waiting.length > 0) this.watch();
    }, WAITING.longestMs / 10).unref();
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    setImmediate(() => {
      this.isScheduled = false;
      while (this.underWay < this.sharing.lanes && this.waiting.length > 0) {
        void this.run(this.waiting.splice(0, this.sharing.limit));
      }
      if (this.waiting.length > 0) this.watch();
    });
  }

  private async run(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    this.underWay += 1;
    let left = await this.serveInCompany(batch);
    if (batch.length > 1) left = await this.serveOneByOne(left);
    this.underWay -= 1;
    if (this.waiting.length > 0) this.schedule();
    for (const waiting of left) this.beside.take(() => this.serveAlone(waiting)).catch(waiting.reject);
  }

  /** Gives those that are to be tried again. */
  private async serveInCompany(batch: readonly Waiting<Item, Result>[]): Promise<Waiting<Item, Result>[]> {
    try {
      const results = await this.serve(itemsOf(batch), true);
      return batch.filter((waiting, at) => !settled(waiting, results[at]!));
    } catch (error) {
      const isOwn = batch.length === 1 && !isImpatience(error);
      if (!isOwn && !isUnavailable(error)) return [...batch];
      for (const { reject } of batch) reject(error);
      return [];
    }
  }

  private async serveOneByOne(batch: readonly Waiting<Item, Result>[]): Promise<Waiting<Item, Result>[]> {
    const left: Waiting<Item, Result>[] = [];
    for (let at = 0; at < batch.length; at += ALONE_AT_ONCE) {
      const few = batch.slice(at, at + ALONE_AT_ONCE);
      left.push(...(await Promise.all(few.map((waiting) => this.serveInCompany([waiting])))).flat());
    }
    return left;
  }

  private async serveAlone(waiting: Waiting<Item, Result>): Promise<void> {
    try {
      const [result] = await this.serve([waiting.item], false);
      if (!settled(waiting, result!)) throw new Error('There is no result');
    } catch (error) {
      waiting.reject(error);
    }
  }
}

function itemsOf<Item>(batch: readonly { readonly item: Item }[]): Item[] {
  return batch.map(({ item }) => item);
}

function settled<Result>(
  { resolve }: { readonly resolve: (result: Result) => void },
  result: Result | typeof NOT_SERVED,
): boolean {
  if (result === NOT_SERVED) return false;
  resolve(result);
  return true;
}

function isLate({ since }: { readonly since: number }): boolean {
  return performance.now() - since > WAITING.longestMs;
}

function refuse({ reject }: { readonly reject: (error: unknown) => void }): void {
  reject(new Unavailable('The database is too slow for all who wait for it'));
}

function isImpatience(error: unknown): boolean {
  return [...causesOf(error)].some((one) => one instanceof Impatience || one.code === '55P03');
}
