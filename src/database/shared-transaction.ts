import type { Tx } from './tx.js';
import type { Outcome } from './shared-work.js';

/**
 * An operation that concurrent requests do in one transaction. It only describes the steps; `UnitOfWork.share`
 * decides which items share a transaction and what happens if one of them fails.
 *
 * The steps come in this order: `lock`, `ahead`, `decide`, `write`, commit.
 */
export interface SharedTransaction<Item, Locked, Result> {
  /** Its name in metrics. */
  readonly name: string;
  /** Items with the same key never share a transaction, because the second must see what the first has done. */
  keyOf?(item: Item): string;
  /** The user whose rows the item is about; of a claim from devices of several users, the first. */
  userOf(item: Item): string;
  /** Locks what the items need, in the common lock order, and reads what the decisions depend on. */
  lock(tx: Tx, items: readonly Item[]): Promise<Locked>;
  /**
   * Sends statements after the locks without waiting for their results, to save a round trip. If an item is then
   * refused, everything is rolled back and each item is tried again by itself.
   */
  ahead?(tx: Tx, items: readonly Item[]): Promise<unknown>;
  /** Decides the result of one item. If it throws, that item is refused, and no other. */
  decide(item: Item, locked: Locked, tx: Tx): Result;
  /** Writes what was decided, for all items in a few statements. */
  write?(tx: Tx, decided: readonly Decided<Item, Result>[]): Promise<unknown>;
}

/** An item and what was decided about it. */
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
  let aheadFailure: { readonly reason: unknown } | undefined;
  const [locked] = await tx.inOrder(
    () => operation.lock(tx, items),
    async () => {
      try {
        await operation.ahead?.(tx, items);
      } catch (reason) {
        aheadFailure = { reason };
      }
    },
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
  // A refusal says more than what failed because of it.
  if (aheadFailure !== undefined) throw aheadFailure.reason;
  if (decided.length > 0) await operation.write?.(tx, decided);
  return outcomes;
}
