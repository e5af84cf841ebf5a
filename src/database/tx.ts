import type { EntityManager } from 'typeorm';
import type { ClientBase, QueryResultRow } from 'pg';
import { causesOf, isOutage, Unavailable } from '../system/outage.js';

/** A step of a transaction, or none. */
type Step = (() => unknown) | undefined;
type ResultOf<One extends Step> = One extends () => infer Result ? Awaited<Result> : undefined;

/**
 * One SQL statement with a name. PostgreSQL parses and plans a named statement once for each connection, which
 * is worth more than anything else on the way of a request, so the name must belong to one text only.
 */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** A statement with its values, to be sent later. */
export interface PendingStatement {
  readonly statement: Statement;
  readonly values: unknown[];
}

/**
 * One open transaction: the first argument of whatever writes. {@link UnitOfWork.run} makes it, commits it and
 * rolls it back; it is dead when that call returns.
 *
 * @example
 * ```ts
 * await this.unitOfWork.run(async (tx: Tx) => {
 *   const notes = await tx.query<{ text: string }>(FIND_NOTES, [userId]);
 *   await tx.manager.save(NoteEntity, { userId, text: 'another' });
 * });
 * ```
 */
export class Tx {
  /**
   * The first error the database gave: later ones only say that the transaction is aborted.
   * @internal
   */
  failure: unknown;
  /** Whether {@link failure} is that of a statement which was sent while listeners were at work. */
  private failedInListeners = false;
  /**
   * How many events are being published in the transaction.
   * @internal
   */
  publishing = 0;
  /**
   * The listeners that have had a part in the transaction.
   * @internal
   */
  readonly listeners: string[] = [];
  private madeManager: EntityManager | undefined;
  private latest: Promise<unknown> = Promise.resolve();
  private over = false;
  private readonly last: (() => PendingStatement)[] = [];
  private readonly committed: (() => void)[] = [];

  /** The one instant that everything in the transaction happens at. */
  readonly startedAt: Date;

  constructor(
    private readonly client: ClientBase,
    startedAt: Date,
    private readonly makeManager: () => EntityManager,
    /**
     * Whether several requests share the transaction: nothing in it may take long.
     * @internal
     */
    readonly isShared = false,
  ) {
    this.startedAt = startedAt;
  }

  /** TypeORM's entity manager on this transaction, for code that prefers entities to statements. */
  get manager(): EntityManager {
    return (this.madeManager ??= this.makeManager());
  }

  /**
   * Calls the steps one after the other, without waiting for any, and resolves with what they gave when all have
   * resolved. PostgreSQL runs the statements of a connection in the order in which they were sent, so what a step sends
   * before its first `await` runs before whatever the next step sends; all of it is one round trip.
   *
   * When steps fail it waits for the others, and rejects with the first failure that is not the consequence of another.
   * Never use `Promise.all` on statements of a transaction: it would leave some of them running.
   *
   * @example
   * ```ts
   * const [notes] = await tx.inOrder(
   *   () => tx.query<Note>(LOCK_NOTES, [userId]),
   *   () => tx.query(DELETE_NOTES, [userId]),
   * );
   * ```
   */
  async inOrder<const Steps extends readonly Step[]>(
    ...steps: Steps
  ): Promise<{ -readonly [At in keyof Steps]: ResultOf<Steps[At]> }> {
    const outcomes = await Promise.allSettled(steps.map(async (step) => step?.()));
    const failures = outcomes.filter((outcome) => outcome.status === 'rejected');
    const failed = failures.find(({ reason }) => !isAbortedTransaction(reason)) ?? failures[0];
    if (failed !== undefined) throw failed.reason;
    return outcomes.map((outcome) => (outcome as PromiseFulfilledResult<unknown>).value) as never;
  }

  /** Runs a statement and gives its rows. Calls that do not await each other share a round trip. */
  query<Row extends QueryResultRow>(statement: Statement, values: unknown[] = []): Promise<Row[]> {
    if (this.over) {
      const over = new Error('The transaction is over: await every statement before its work returns');
      return Promise.reject(over);
    }
    const rows = this.send<Row>(statement, values);
    // Its failure ends the transaction, and must not end the process where nobody awaits it.
    rows.catch(() => {});
    return rows;
  }

  /**
   * Adds a statement that travels with the COMMIT, when all others have been answered: `make` is called then. What
   * it throws keeps the COMMIT from being sent.
   */
  beforeCommit(make: () => PendingStatement): void {
    this.last.push(make);
  }

  /** Calls `work` when the transaction is committed, and never when it is not. It must not throw. */
  afterCommit(work: () => void): void {
    this.committed.push(work);
  }

  /**
   * Sends what {@link beforeCommit} gathered: all of it, or nothing where one cannot be made. A statement that then
   * fails has the COMMIT answered with ROLLBACK.
   * @internal
   */
  sendLast(): Promise<unknown> {
    const pending = this.last.map((make) => make());
    return this.inOrder(
      ...pending.map(
        ({ statement, values }) =>
          () =>
            this.send(statement, values),
      ),
    );
  }

  /**
   * Calls what {@link afterCommit} gathered. One that throws against its word is told of, and stops neither the
   * others nor the answer: what was committed must not be answered as if it had failed.
   * @internal
   */
  tellCommitted(tellOf: (error: unknown) => void): void {
    for (const work of this.committed) {
      try {
        work();
      } catch (error) {
        tellOf(error);
      }
    }
  }

  private async send<Row extends QueryResultRow>(
    statement: Statement,
    values: unknown[] = [],
  ): Promise<Row[]> {
    const running = this.client.query<Row>({ ...statement, values });
    const inListeners = this.publishing > 0;
    this.latest = running;
    try {
      return (await running).rows;
    } catch (error) {
      const told = ofDatabase(error);
      if (this.failure === undefined) [this.failure, this.failedInListeners] = [told, inListeners];
      throw told;
    }
  }

  /**
   * The error of a transaction in which a statement failed and nobody said so: that of the statement, or one that
   * names the listeners when it was theirs or cannot be known, as those of the entity manager.
   * @internal
   */
  hiddenFailure(): unknown {
    const isKnown =
      this.failure !== undefined && !this.failedInListeners && !isAbortedTransaction(this.failure);
    if (isKnown) return this.failure;
    const suspects =
      this.listeners.length > 0 ? `. Listeners that had a part in it: ${this.listeners.join(', ')}` : '';
    return new Error(`A statement failed inside the transaction and its error was hidden${suspects}`, {
      cause: this.failure,
    });
  }

  /**
   * Lets no statement in any more and resolves when those issued so far have been answered: a connection answers in
   * order. Whoever still works in the transaction must not reach the next user of its connection.
   * @internal
   */
  async close(): Promise<void> {
    this.over = true;
    await this.latest.catch(() => undefined);
  }
}

/** A statement failed because one before it had. */
export function isAbortedTransaction(failure: unknown): boolean {
  return [...causesOf(failure)].some(({ code }) => code === '25P02');
}

/** An error of the database in the form in which everybody hears of an outage; any other one as it is. */
export function ofDatabase(error: unknown): unknown {
  if (error instanceof Unavailable || !isOutage(error)) return error;
  return new Unavailable('The database is not available', { cause: error });
}
