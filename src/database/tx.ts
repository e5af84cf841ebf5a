import type { EntityManager } from 'typeorm';
import type { ClientBase, QueryResultRow } from 'pg';
import { causesOf, isOutage, Unavailable } from '../system/outage.js';
import { NoTracing, type Tracing } from '../system/tracing.js';

/**
 * One named SQL statement. PostgreSQL parses and plans a named statement only once for each connection, which saves
 * more than anything else in a request. So a name must belong to one text only.
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

/** The state that all `Tx` objects of one transaction share. */
export class Course {
  failure: FirstFailure | undefined;
  latest: Promise<unknown> = Promise.resolve();
  isOver = false;
  readonly last: (() => PendingStatement)[] = [];
  readonly committed: (() => void)[] = [];
  readonly afterwards: Afterwards[] = [];
  readonly locals = new Map<object, unknown>();

  constructor(readonly tracing: Tracing = new NoTracing()) {}
}

/**
 * Work that follows the commit and that the caller of the transaction waits for.
 * @param userId whose request waits, in a transaction that requests share; otherwise `null`
 */
export type Afterwards = (userId: string | null) => Promise<void>;

/** Makes the entity manager of a transaction, which reports failing queries. */
export type MakeManager = (onFailure: (error: unknown) => void) => EntityManager;

/**
 * One open transaction, the first argument of everything that writes. {@link UnitOfWork.run} creates it, and commits
 * it or rolls it back. It cannot be used after that call returns.
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
    /** The one instant at which everything in the transaction happens. */
    readonly startedAt: Date,
    private readonly makeManager: MakeManager,
    /**
     * Whether several requests share the transaction, so that nothing in it may take long.
     * @internal
     */
    readonly isShared = false,
    private readonly course = new Course(),
    private readonly listener: string | null = null,
  ) {}

  /**
   * Records what is done in the transaction.
   * @internal
   */
  get tracing(): Tracing {
    return this.course.tracing;
  }

  /** TypeORM's entity manager on this transaction, for code that prefers entities to statements. */
  get manager(): EntityManager {
    return (this.madeManager ??= this.makeManager((error) => this.failed(error)));
  }

  /**
   * The first error that the database returned.
   * @internal
   */
  get failure(): unknown {
    return this.course.failure?.error;
  }

  /**
   * Returns the same transaction for one listener, so that a failing statement can be traced to it.
   * @internal
   */
  as(listener: string): Tx {
    return new Tx(this.client, this.startedAt, this.makeManager, this.isShared, this.course, listener);
  }

  /**
   * Calls the steps one after the other, without waiting for any, and resolves with their results when all have
   * resolved. PostgreSQL runs the statements of a connection in the order in which they were sent, so what a step
   * sends before its first `await` runs before anything the next step sends, all in one round trip.
   *
   * If a step fails, it waits for the others and rejects with the first failure that was not caused by another.
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

  /** Runs a statement and returns its rows. Calls that do not await each other share a round trip. */
  query<Row extends QueryResultRow>(statement: Statement, values: unknown[] = []): Promise<Row[]> {
    if (this.course.isOver) {
      const over = new Error('The transaction is over: await every statement before its work returns');
      return Promise.reject(over);
    }
    const rows = this.send<Row>(statement, values);
    // A failure ends the transaction, but must not end the process if nobody awaits it.
    rows.catch(() => {});
    return rows;
  }

  /**
   * Returns a value that lives as long as the transaction. It is made on the first call for `owner`, and is the same
   * in every listener.
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
   * Adds a statement that is sent with the COMMIT. `make` is called when all other statements have been answered. If
   * it throws, the COMMIT is not sent.
   */
  beforeCommit(make: () => PendingStatement): void {
    this.course.last.push(make);
  }

  /** Calls `work` after the transaction is committed, and never if it is not. `work` must not throw. */
  afterCommit(work: () => void): void {
    this.course.committed.push(work);
  }

  /**
   * Adds work that follows the commit and that the caller waits for, once the connection is free again. If it
   * rejects, the call rejects although the transaction is committed, so `work` must then have undone it.
   * @internal
   */
  afterwards(work: Afterwards): void {
    this.course.afterwards.push(work);
  }

  /**
   * Calls the work of {@link afterwards}; `undefined` if there is none.
   * @internal
   */
  finish(userId: string | null): Promise<unknown> | undefined {
    const { afterwards } = this.course;
    return afterwards.length === 0 ? undefined : Promise.all(afterwards.map((work) => work(userId)));
  }

  /**
   * Sends the statements of {@link beforeCommit}: all of them, or none if one cannot be made. If one of them fails,
   * the COMMIT is answered with ROLLBACK.
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
   * Calls the work of {@link afterCommit}. If one throws although it must not, the error is reported, and the others
   * still run: what was committed must not be answered as if it had failed.
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
   * The error of a transaction in which a statement failed but the failure was swallowed; it names the listener that
   * sent the statement.
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
   * Refuses further statements, and resolves when those issued so far have been answered, which a connection does in
   * order. Code that still uses the transaction must not reach the next user of its connection.
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

/** Whether a statement failed only because an earlier one had. */
export function isAbortedTransaction(failure: unknown): boolean {
  return [...causesOf(failure)].some(({ code }) => code === '25P02');
}

/** Turns an outage into {@link Unavailable}; returns any other error unchanged. */
export function ofDatabase(error: unknown): unknown {
  if (error instanceof Unavailable || !isOutage(error)) return error;
  return new Unavailable('The database is not available', { cause: error });
}
