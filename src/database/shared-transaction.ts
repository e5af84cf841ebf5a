import type { Tx } from './tx.js';
import type { Outcome } from './shared-work.js';

/**
 * An operation that requests which come at the same time do in one transaction. It tells the story of one item; how
 * items share, and what happens when one of them fails, is the business of `UnitOfWork.share`.
 *
 * The steps come in this order: `lock`, `ahead`, `decide`, `write`, commit.
 */
export interface SharedTransaction<Item, Locked, Result> {
  /** As metrics call it. */
  readonly name: string;
  /** Two items of one key never share a transaction: the second is to see what the first has done. */
  keyOf?(item: Item): string;
  /** Locks what the items need, in the one order of all locks, and reads what is to be decided by. */
  lock(tx: Tx, items: readonly Item[]): Promise<Locked>;
  /**
   * What can be sent behind the locks without waiting for their answer, to save a round trip. When an item is then
   * refused, all of it is rolled back, and the other items are tried without that one.
   */
  ahead?(tx: Tx, items: readonly Item[]): Promise<unknown>;
  /** What becomes of one item. What it throws refuses that item and no other. */
  decide(item: Item, locked: Locked, tx: Tx): Result;
  /** Writes what was decided, for all items in few statements. */
  write?(tx: Tx, decided: readonly Decided<Item, Result>[]): Promise<unknown>;
}

/** An item with what was decided about it. */
export interface Decided<Item, Result> {
  readonly item: Item;
  readonly result: Result;
}

/** Runs the steps of the operation in `tx`. */
export async function runSteps<Item, Locked, Result>(
  tx: Tx,
  operation: SharedTransaction<Item, Locked, Result>,
  items: readonly Item[],
): Promise<Outcome<Result>[]> {
  const [locked] = await tx.inOrder(
    () => operation.lock(tx, items),
    () => operation.ahead?.(tx, items),
  );
  const mayRefuse = items.length > 1 && operation.ahead === undefined;
  const decided: Decided<Item, Result>[] = [];
  const outcomes = items.map((item): Outcome<Result> => {
    try {
      const result = operation.decide(item, locked, tx);
      decided.push({ item, result });
      return { result };
    } catch (refusal) {
      if (!mayRefuse) throw refusal;
      return { refusal };
    }
  });
  if (decided.length > 0) await operation.write?.(tx, decided);
  return outcomes;
}
