import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable, Logger } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DatabaseError, type Pool, type PoolClient, type QueryResultRow } from 'pg';
import { DataSource, QueryFailedError } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { Environment } from '../config/environment.js';
import { Metrics } from '../metrics/metrics.js';
import { Clock } from '../system/clock.js';
import {
  causesOf,
  isConnectionLost,
  isTooManyConnections,
  isUnavailable,
  Unavailable,
  unavailableIn,
} from '../system/outage.js';
import { Tracing } from '../system/tracing.js';
import { DatabaseMetrics } from './database-metrics.js';
import { Connections } from './connections.js';
import { OutageLog } from './outage-log.js';
import { runSteps, type SharedTransaction } from './shared-transaction.js';
import { type Kind, SharedWork, TookTooLong } from './shared-work.js';
import { TransactionQueryRunner } from './transaction-query-runner.js';
import { traced, tracedStatement } from './traced-client.js';
import { Course, isAbortedTransaction, type MakeManager, ofDatabase, type Statement, Tx } from './tx.js';

/** Serialization failure and deadlock: PostgreSQL asks the client to try the whole transaction again. */
const TRY_AGAIN = new Set(['40001', '40P01']);
const ATTEMPTS = 5;
/**
 * No transaction commits later than this after its start, so that a reader of "what was committed by then" knows how
 * long to wait.
 */
const LIFETIME_MS = 45_000;

/** Beyond this many items, a shared commit gains little. */
const SHARED_LIMIT = 64;
const LOOK_UPS_LIMIT = 256;
/** How long to wait for a connection if the server allows no more. */
const SLOT_WAIT_MS = 5_000;
/** If a look-up takes longer than this, the server hangs. */
const LOOK_UP_TIMEOUT_MS = 10_000;

/** What a committed transaction returned. */
interface Committed<Result> {
  readonly result: Result;
  readonly tx: Tx;
}

/** The only way to run a transaction. */
@Injectable()
export class UnitOfWork {
  private readonly logger = new Logger(UnitOfWork.name);
  private readonly outages = new OutageLog();
  private readonly connections: Connections;
  private readonly metrics: DatabaseMetrics;
  /** What a shared transaction begins with. */
  private readonly limitLocks: string;

  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly clock: Clock,
    metrics: Metrics,
    environment: Environment,
    private readonly tracing: Tracing,
  ) {
    const { poolSize = 10 } = dataSource.options as { poolSize?: number };
    const { across, lockTimeoutMs } = environment.databaseSharing;
    this.connections = new Connections(poolSize, across === 'user');
    this.limitLocks = `SET LOCAL lock_timeout = ${lockTimeoutMs}`;
    this.metrics = new DatabaseMetrics(metrics, this.connections, this.pool);
  }

  /**
   * Runs `work` in one transaction and resolves after its commit. If `work` rejects, or swallows the failure of a
   * statement, everything is rolled back and the promise rejects.
   *
   * After a deadlock or a serialization failure, `work` runs again from the start in a new transaction, five times in
   * all at most. If the connection dies before the COMMIT is sent, it runs again once. So whatever `work` does
   * outside the transaction must be safe to repeat.
   *
   * After the commit, it also waits until the homeserver has heard of it, if there is one, for a limited time and
   * without the connection. The promise rejects if a session that began is unknown there, and has therefore ended.
   *
   * @throws {Unavailable} if the database is unavailable, or too many requests wait for it
   * @throws {MatrixError} if the homeserver does not take a new user or device
   *
   * @example
   * ```ts
   * await this.unitOfWork.run(async (tx) => {
   *   await tx.query(INSERT_NOTE, [userId, deviceId, note]);
   * });
   * ```
   */
  async run<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result> {
    const { result, tx } = await this.runIn(work, false);
    await tx.finish(null);
    return result;
  }

  /**
   * Lets concurrent requests do this operation in one transaction; see {@link SharedTransaction}. In a shared
   * transaction, a statement that would wait long for a lock fails, so that no request waits for another.
   * @internal
   */
  share<Item, Locked, Result>(operation: SharedTransaction<Item, Locked, Result>): SharedWork<Item, Result> {
    return this.shared({
      name: operation.name,
      limit: SHARED_LIMIT,
      userOf: (item: Item) => operation.userOf(item),
      ...(operation.keyOf === undefined ? {} : { keyOf: (item: Item) => operation.keyOf!(item) }),
      serve: async (items, isShared) => {
        const { result, tx } = await this.runIn((one) => runSteps(one, operation, items), isShared);
        return result.map((outcome, at) =>
          'refusal' in outcome
            ? outcome
            : { ...outcome, afterwards: tx.finish(operation.userOf(items[at]!)) },
        );
      },
    });
  }

  /**
   * Lets concurrent look-ups share one call of `serve`, which returns one result for each item.
   * @internal
   */
  shareLookUps<Item, Result>(
    {
      name,
      limit = LOOK_UPS_LIMIT,
      userOf,
    }: Pick<Kind<Item, Result>, 'name' | 'userOf'> & { limit?: number },
    serve: (items: readonly Item[]) => Promise<readonly Result[]>,
  ): SharedWork<Item, Result> {
    return this.shared({
      name,
      limit,
      userOf,
      serve: async (items) => (await serve(items)).map((result) => ({ result })),
    });
  }

  /** Runs one writing statement that needs no other with it, as a transaction of its own without BEGIN and COMMIT. */
  runOne<Row extends QueryResultRow>(statement: Statement, values: unknown[] = []): Promise<Row[]> {
    return this.guarded('write', () =>
      this.again(() => this.connections.transactions.take(() => this.send<Row>(statement, values))),
    );
  }

  /** Runs one statement outside any transaction; for reading. */
  query<Row extends QueryResultRow>(statement: Statement, values: unknown[] = []): Promise<Row[]> {
    const look = () =>
      this.connections.lookUps.take(() => this.send<Row>(statement, values, LOOK_UP_TIMEOUT_MS));
    return this.guarded('look-up', async () => {
      try {
        return await look();
      } catch (error) {
        // A read may be sent twice.
        if (!isConnectionLost(error)) throw error;
        return look();
      }
    });
  }

  private get pool(): Pool {
    return (this.dataSource.driver as PostgresDriver).master as Pool;
  }

  private shared<Item, Result>(kind: Kind<Item, Result>): SharedWork<Item, Result> {
    const work = new SharedWork(kind, this.connections, this.metrics.counting(kind.name), this.tracing);
    this.metrics.watch(kind.name, () => work.waiting);
    return work;
  }

  private runIn<Result>(work: (tx: Tx) => Promise<Result>, isShared: boolean): Promise<Committed<Result>> {
    return this.guarded('write', () =>
      this.again(() =>
        // The wait for a connection is a part of it.
        this.tracing.span('transaction', {}, () =>
          this.connections.transactions.take(() => this.attempt(work, isShared)),
        ),
      ),
    );
  }

  private async send<Row extends QueryResultRow>(
    statement: Statement,
    values: unknown[],
    timeoutMs?: number,
  ): Promise<Row[]> {
    // `pg` supports a time-out for a single query; its types do not.
    const query = { ...statement, values, ...(timeoutMs === undefined ? {} : { query_timeout: timeoutMs }) };
    try {
      const running = tracedStatement(this.tracing, statement, () =>
        whenThereIsRoom(() => this.pool.query<Row>(query)),
      );
      return (await running).rows;
    } catch (error) {
      throw ofDatabase(error);
    }
  }

  /** Reports outages to the log. */
  private async guarded<Result>(kind: 'look-up' | 'write', work: () => Promise<Result>): Promise<Result> {
    try {
      const result = await work();
      this.outages.answered(kind);
      return result;
    } catch (error) {
      const unavailable = unavailableIn(error);
      if (unavailable?.cause !== undefined) this.outages.failed(unavailable.cause);
      else if (unavailable !== undefined) this.outages.turnedAway(unavailable);
      throw error;
    }
  }

  private async attempt<Result>(
    work: (tx: Tx) => Promise<Result>,
    isShared: boolean,
  ): Promise<Committed<Result>> {
    const connection = await whenThereIsRoom(() => this.pool.connect()).catch((error: unknown) => {
      throw ofDatabase(error);
    });
    const client = traced(connection, this.tracing);
    const runners: TransactionQueryRunner[] = [];
    let [isCommitting, isOver] = [false, false];
    try {
      // Not awaited, so it is sent with the first statements.
      // Two commands, because a distributed database hands what it gets in one to its other servers as it is.
      const begun = Promise.all([
        client.query('BEGIN'),
        ...(isShared ? [client.query(this.limitLocks)] : []),
      ]);
      begun.catch(() => {});
      const deadline = performance.now() + LIFETIME_MS;
      const makeManager: MakeManager = (onFailure) => {
        const runner = new TransactionQueryRunner(this.dataSource, client, onFailure);
        runners.push(runner);
        if (isOver) void runner.release();
        return runner.manager;
      };
      const tx = new Tx(client, this.clock.now(), makeManager, isShared, new Course(this.tracing));
      // Before COMMIT and ROLLBACK: what is sent behind them would be a transaction of its own.
      const close = async () => {
        await tx.close();
        isOver = true;
        for (const runner of runners) await runner.release();
      };
      try {
        const result = await work(tx);
        await begun.catch((error: unknown) => {
          throw ofDatabase(error);
        });
        await close();
        if (performance.now() > deadline)
          throw new TookTooLong('The transaction took too long to be committed');
        if (statusOf(connection) === 'I') throw new Error('A statement ended the transaction');
        // Sent with the COMMIT. If it fails, the COMMIT is answered with ROLLBACK.
        const last = tx.sendLast();
        last.catch(() => {});
        isCommitting = true;
        await commit(client, tx);
        await last;
        tx.tellCommitted((error) => this.logger.error(`After a commit: ${String(error)}`));
        return { result, tx };
      } catch (error) {
        await begun.catch(() => {});
        await close();
        // If the connection died, its transaction is gone too. The first error is the one to report.
        if (statusOf(connection) !== 'I') await client.query('ROLLBACK').catch(() => {});
        const told = ofQueries(isAbortedTransaction(error) ? tx.hiddenFailure() : error);
        if (!isCommitting && isUnavailable(told) && isConnectionLost(told)) throw new LostBeforeCommit(told);
        throw told;
      }
    } finally {
      // The pool discards a connection that has died.
      connection.release();
    }
  }

  /** Retries after a conflict with another transaction, or after a lost connection. */
  private async again<Result>(attempt: () => Promise<Result>): Promise<Result> {
    for (let nth = 1; ; nth += 1) {
      try {
        return await attempt();
      } catch (error) {
        const isLost = error instanceof LostBeforeCommit;
        if (isLost ? nth > 1 : nth === ATTEMPTS || !TRY_AGAIN.has(sqlState(error))) throw error;
        this.metrics.retried(isLost ? 'connection' : 'conflict');
        // Random, because both sides of a deadlock would collide again if they waited equally long.
        await sleep(Math.random() * 10 * nth);
      }
    }
  }
}

/**
 * Same as {@link ofDatabase}, for an error of `work`. Only errors of queries, including those of the entity manager,
 * come from the database.
 */
function ofQueries(error: unknown): unknown {
  const isQuerys = [...causesOf(error)].some(
    (one) => one instanceof QueryFailedError || one instanceof DatabaseError,
  );
  return isQuerys ? ofDatabase(error) : error;
}

/** The connection died before anything could be committed. */
class LostBeforeCommit extends Unavailable {
  constructor(cause: unknown) {
    super('The connection to the database was lost', { cause });
  }
}

/**
 * Connects, and retries while the server allows no more connections: others of the pool are soon free. PostgreSQL may
 * allow fewer connections than the pool would open.
 */
async function whenThereIsRoom<Result>(connect: () => Promise<Result>): Promise<Result> {
  const deadline = performance.now() + SLOT_WAIT_MS;
  for (;;) {
    try {
      return await connect();
    } catch (error) {
      if (!isTooManyConnections(error) || performance.now() > deadline) throw error;
      await sleep(10 + Math.random() * 40);
    }
  }
}

/** PostgreSQL answers the COMMIT of an aborted transaction with ROLLBACK and no error. */
async function commit(client: PoolClient, tx: Tx): Promise<void> {
  const { command } = await client.query('COMMIT').catch((error: unknown) => {
    throw ofDatabase(error);
  });
  if (command !== 'COMMIT') {
    throw tx.hiddenFailure();
  }
}

/**
 * The transaction status of the connection, as `ReadyForQuery` reports it. The types of `pg` leave it out for a
 * pool's clients.
 */
function statusOf(client: PoolClient): string | null {
  return (client as unknown as { getTransactionStatus(): string | null }).getTransactionStatus();
}

/** The SQLSTATE of the error, or of what caused it. */
function sqlState(error: unknown): string {
  if (!(error instanceof Error)) return '';
  return 'code' in error ? String(error.code) : sqlState(error.cause);
}
