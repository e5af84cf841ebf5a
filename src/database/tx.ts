import type { EntityManager } from 'typeorm';
import type { ClientBase, QueryResultRow } from 'pg';
import { causesOf, isOutage, Unavailable } from '../system/outage.js';

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

/** A step of a transaction, or none. */
type Step = (() => unknown) | undefined;
type ResultOf<One extends Step> = One extends () => infer Result ? Awaited<Result> : undefined;

/** The first statement of a transaction that failed. Later ones only fail because the transaction is aborted. */
interface FirstFailure {
  readonly error: unknown;
  /** The listener that sent it; `null` when no listener did. */
  readonly listener: string | null;
}

/** What the views of one transaction share. */
class Course {
  failure: FirstFailure | undefined;
  latest: Promise<unknown> = Promise.resolve();
  isOver = false;
  readonly last: (() => PendingStatement)[] = [];
  readonly committed: (() => void)[] = [];
  readonly locals = new Map<object, unknown>();
}

/** How a transaction gets its entity manager, which reports the queries that fail. */
export type MakeManager = (onFailure: (error: unknown) => void) => EntityManager;

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
  private madeManager: EntityManager | undefined;

  /** @internal */
  constructor(
    private readonly client: ClientBase,
    /** The one instant that everything in the transaction happens at. */
    readonly startedAt: Date,
    private readonly makeManager: MakeManager,
    /**
     * Whether several requests share the transaction: nothing in it may take long.
     * @internal
     */
    readonly isShared = false,
    private readonly course = new Course(),
    private readonly listener: string | null = null,
  ) {}

  /** TypeORM's entity manager on this transaction, for code that prefers entities to statements. */
  get manager(): EntityManager {
    return (this.madeManager ??= this.makeManager((error) => this.failed(error)));
  }

  /**
   * The first error the database gave.
   * @internal
   */
  get failure(): unknown {
    return this.course.failure?.error;
  }

  /**
   * The same transaction as one listener has it, so that a statement that fails is known to be its own.
   * @internal
   */
  as(listener: string): Tx {
    return new Tx(this.client, this.startedAt, this.makeManager, this.isShared, this.course, listener);
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
    if (this.course.isOver) {
      const over = new Error('The transaction is over: await every statement before its work returns');
      return Promise.reject(over);
    }
    const rows = this.send<Row>(statement, values);
    // Its failure ends the transaction, and must not end the process where nobody awaits it.
    rows.catch(() => {});
    return rows;
  }

  /**
   * A value that lives as long as the transaction: made when `owner` asks for it first, and the same in every listener.
   *
   * @example
   * ```ts
   * const names = tx.local(this, () => new Set<string>());
   * ```
   */
  local<Value>(owner: object, make: () => Value): Value {
    const { locals } = this.course;
    if (!locals.has(owner)) locals.set(owner, make());
    return locals.get(owner) as Value;
  }

  /**
   * Adds a statement that travels with the COMMIT, when all others have been answered: `make` is called then. What
   * it throws keeps the COMMIT from being sent.
   */
  beforeCommit(make: () => PendingStatement): void {
    this.course.last.push(make);
  }

  /** Calls `work` when the transaction is committed, and never when it is not. It must not throw. */
  afterCommit(work: () => void): void {
    this.course.committed.push(work);
  }

  /**
   * Sends what {@link beforeCommit} gathered: all of it, or nothing where one cannot be made. A statement that then
   * fails has the COMMIT answered with ROLLBACK.
   * @internal
   */
  sendLast(): Promise<unknown> {
    const pending = this.course.last.map((make) => make());
    return this.inOrder(
      ...pending.map(
        ({ statement, values }) =>
          () =>
            this.send(statement, values),
      ),
    );
  }

  /**
   * Calls what {@link afterCommit} gathered. One that throws against its word is reported, and stops neither the
   * others nor the answer: what was committed must not be answered as if it had failed.
   * @internal
   */
  tellCommitted(tellOf: (error: unknown) => void): void {
    for (const work of this.course.committed) {
      try {
        work();
      } catch (error) {
        tellOf(error);
      }
    }
  }

  /**
   * The error of a transaction in which a statement failed without anybody saying so; it names the listener whose
   * statement it was.
   * @internal
   */
  hiddenFailure(): unknown {
    const { failure } = this.course;
    if (failure === undefined)
      return new Error('A statement failed inside the transaction and its error was hidden');
    const { listener, error } = failure;
    return listener === null
      ? error
      : new Error(`${listener} hid that its statement failed`, { cause: error });
  }

  /**
   * Lets no statement in any more and resolves when those issued so far have been answered: a connection answers in
   * order. Whoever still works in the transaction must not reach the next user of its connection.
   * @internal
   */
  async close(): Promise<void> {
    this.course.isOver = true;
    await this.course.latest.catch(() => undefined);
  }

  private async send<Row extends QueryResultRow>(
    statement: Statement,
    values: unknown[] = [],
  ): Promise<Row[]> {
    const running = this.client.query<Row>({ ...statement, values });
    this.course.latest = running;
    try {
      return (await running).rows;
    } catch (error) {
      const told = ofDatabase(error);
      this.failed(told);
      throw told;
    }
  }

  private failed(error: unknown): void {
    if (!isAbortedTransaction(error)) this.course.failure ??= { error, listener: this.listener };
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
