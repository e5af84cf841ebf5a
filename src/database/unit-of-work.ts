import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import type { Client, Pool, QueryResultRow } from 'pg';
import { DataSource } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { Clock } from '../system/clock.js';
import { type Statement, Tx } from './tx.js';

/** Serialization failure and deadlock: PostgreSQL asks the client to try the whole transaction again. */
const TRY_AGAIN = new Set(['40001', '40P01']);
const ATTEMPTS = 5;
/** Nothing commits later after its beginning: whoever reads "what was committed by then" must know how long to wait. */
const LIFETIME_MS = 45_000;

/** Longer than a commit takes on most machines, and shorter than anybody notices. */
const BEGIN_IN_COMPANY = `BEGIN; SET LOCAL lock_timeout = '20ms'`;

/** The only way to a transaction. */
@Injectable()
export class UnitOfWork {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly clock: Clock,
  ) {}

  /**
   * Runs `work` in one transaction and resolves after its commit. When `work` rejects, or a statement failed and
   * `work` hid it, everything is rolled back and the promise rejects.
   *
   * A deadlock or a serialization failure runs `work` again from the start, in a new transaction, up to five
   * times: whatever `work` does outside the transaction must bear being repeated.
   *
   * @param inCompany for work of several requests that share the transaction: a statement that would wait long for a lock
   *   fails, so that nobody waits for a neighbour; each is then to be tried alone
   *
   * @example
   * ```ts
   * await this.unitOfWork.run(async (tx) => {
   *   await tx.query(INSERT_NOTE, [userId, deviceId, note]);
   * });
   * ```
   */
  run<Result>(work: (tx: Tx) => Promise<Result>, { inCompany = false } = {}): Promise<Result> {
    return again(() => this.attempt(work, inCompany));
  }

  /** Runs one statement that writes and needs no other with it: it is a transaction of its own, without BEGIN and COMMIT. */
  runOne<Row extends QueryResultRow>(statement: Statement, values: unknown[] = []): Promise<Row[]> {
    return again(() => this.query<Row>(statement, values));
  }

  /** Runs one statement outside any transaction; for reading. */
  async query<Row extends QueryResultRow>(statement: Statement, values: unknown[] = []): Promise<Row[]> {
    const pool = (this.dataSource.driver as PostgresDriver).master as Pool;
    return (await pool.query<Row>({ ...statement, values })).rows;
  }

  private async attempt<Result>(work: (tx: Tx) => Promise<Result>, inCompany: boolean): Promise<Result> {
    const runner = this.dataSource.createQueryRunner();
    try {
      const client = (await runner.connect()) as Client;
      // TypeORM would wait for the answer; sent without waiting, it travels with the first statements.
      const begun = client.query(inCompany ? BEGIN_IN_COMPANY : 'BEGIN');
      begun.catch(() => {});
      Object.assign(runner, { isTransactionActive: true, transactionDepth: 1 });
      const deadline = performance.now() + LIFETIME_MS;
      const tx = new Tx(runner.manager, client, this.clock.now(), inCompany);
      try {
        const result = await work(tx);
        await begun;
        await tx.close();
        if (performance.now() > deadline) throw new Error('The transaction took too long to be committed');
        if (client.getTransactionStatus() === 'I') throw new Error('A statement ended the transaction');
        // Sent with the COMMIT: should it fail, the COMMIT is answered with ROLLBACK.
        const last = tx.runLast();
        last.catch(() => {});
        await commit(client, tx);
        await last;
        tx.tellCommitted();
        return result;
      } catch (error) {
        await begun.catch(() => {});
        await tx.close();
        // A connection that died took its transaction along; the first error is the one to tell.
        if (!runner.isReleased && client.getTransactionStatus() !== 'I')
          await client.query('ROLLBACK').catch(() => {});
        throw error;
      }
    } finally {
      await runner.release();
    }
  }
}

/** Tries again what lost to another transaction. */
async function again<Result>(attempt: () => Promise<Result>): Promise<Result> {
  for (let nth = 1; ; nth += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (nth === ATTEMPTS || !TRY_AGAIN.has(sqlState(error))) throw error;
      // Both sides of a deadlock that wait equally long would only meet again.
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 10 * nth));
    }
  }
}

/** PostgreSQL answers the COMMIT of an aborted transaction with ROLLBACK and no error. */
async function commit(client: Client, tx: Tx): Promise<void> {
  const { command } = await client.query('COMMIT');
  if (command !== 'COMMIT') {
    throw tx.failure ?? new Error('A statement failed inside the transaction and its error was hidden');
  }
}

/** The SQLSTATE of the error, or of what caused it. */
function sqlState(error: unknown): string {
  if (!(error instanceof Error)) return '';
  return 'code' in error ? String(error.code) : sqlState(error.cause);
}
