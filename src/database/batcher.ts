interface Waiting<Item, Result> {
  readonly item: Item;
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

/**
 * Serves together what is asked for at the same time. Items that come in one turn of the event loop, or while every lane is
 * taken, go with the next call. There is no timer: who comes alone waits for nobody.
 *
 * When a shared call fails, each of its items is served once more, alone: nobody pays for a neighbour.
 */
export class Batcher<Item, Result> {
  private waiting: Waiting<Item, Result>[] = [];
  private underWay = 0;
  private isScheduled = false;

  /** @param serve gives one result for each item, in their order */
  constructor(
    private readonly serve: (items: readonly Item[]) => Promise<readonly Result[]>,
    private readonly sharing: Sharing,
  ) {}

  /** Resolves with what `serve` gives for the item. */
  add(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ item, resolve, reject });
      this.schedule();
    });
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    setImmediate(() => {
      this.isScheduled = false;
      while (this.underWay < this.sharing.lanes && this.waiting.length > 0) {
        void this.run(this.waiting.splice(0, this.sharing.limit));
      }
    });
  }

  private async run(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    this.underWay += 1;
    try {
      const results = await this.serve(batch.map(({ item }) => item));
      batch.forEach(({ resolve }, at) => resolve(results[at]!));
    } catch (error) {
      if (batch.length === 1) batch[0]!.reject(error);
      else await Promise.all(batch.map((waiting) => this.serveAlone(waiting)));
    } finally {
      this.underWay -= 1;
      if (this.waiting.length > 0) this.schedule();
    }
  }

  private async serveAlone({ item, resolve, reject }: Waiting<Item, Result>): Promise<void> {
    try {
      const [result] = await this.serve([item]);
      resolve(result!);
    } catch (error) {
      reject(error);
    }
  }
}
