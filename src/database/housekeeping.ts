import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import type { QueryResultRow } from 'pg';
import { Environment } from '../config/environment.js';
import { Metrics } from '../metrics/metrics.js';
import { warnUnlessOutage } from '../system/outage.js';
import type { Statement } from './tx.js';
import type { UnitOfWork } from './unit-of-work.js';

const INTERVAL_MS = 10 * 60 * 1_000;
/** How many rows one statement deletes: so few that nobody has to wait for it. */
const BATCH = 1_000;
/** The most batches of one chore in one round. The rest waits for the next round. */
const MOST_BATCHES = 100;

const REMOVED = {
  name: 'session_housekeeping_rows_removed_total',
  help: 'Rows that were removed because their time was over, by what they were.',
  labelNames: ['what'],
};

/** What one batch did. It may also have looked at rows that stay. */
export interface Batch {
  readonly looked: number;
  readonly removed: number;
}

/** Removes at most `limit` old rows; it looks at no more. */
export type Chore = (limit: number) => Promise<Batch>;

/** Removes old rows in the background, in small batches. Several nodes may do so at once. */
@Injectable()
export class Housekeeping implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(Housekeeping.name);
  private readonly chores = new Map<string, Chore>();
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private isStopping = false;

  constructor(
    private readonly metrics: Metrics,
    private readonly environment: Environment,
  ) {
    metrics.addCounter(REMOVED);
  }

  /** @param what what it removes, such as `access_tokens`: for the metric, and in words for the log */
  add(what: string, chore: Chore): void {
    this.chores.set(what, chore);
    this.count(what, 0);
  }

  /** Counts rows that were removed. Modules that remove rows at times of their own call it, first with 0. */
  count(what: string, removed: number): void {
    this.metrics.count(REMOVED.name, { what }, removed);
  }

  onApplicationBootstrap(): void {
    if (!this.environment.background) return;
    this.timer = setInterval(() => void this.run(), INTERVAL_MS).unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    this.isStopping = true;
    await this.running;
  }

  /** Runs all chores. It never rejects: what fails is tried again next time. */
  run(): Promise<void> {
    this.running ??= this.doAll().finally(() => (this.running = undefined));
    return this.running;
  }

  private async doAll(): Promise<void> {
    for (const [what, chore] of this.chores) {
      try {
        for (let nth = 0; nth < MOST_BATCHES && !this.isStopping; nth += 1) {
          const { looked, removed } = await chore(BATCH);
          this.count(what, removed);
          if (looked < BATCH) break;
        }
      } catch (error) {
        warnUnlessOutage(this.logger, `Old ${what.replaceAll('_', ' ')} could not be removed`, error);
      }
    }
  }
}

/** What a batch did, and the time of the last row it looked at, as PostgreSQL writes it; `null` if there was none. */
interface Passed extends Batch, QueryResultRow {
  readonly last: string | null;
}

/** Removes rows from before a time. */
export type Purge = (before: Date | number, limit: number, ...others: unknown[]) => Promise<Batch>;

/** A batch begins where the last but one ended. */
const BATCHES_BEHIND = 2;

/**
 * Runs a statement that removes at most `$2` rows from before `$1`, the oldest first, beginning at `$3`, and returns
 * one row: `looked`, `removed` and `last`. An index keeps the entries of removed rows until a later scan passes them
 * and marks them, which it cannot do while a transaction runs that began earlier, such as a backup. So a batch passes
 * what the last one has removed, but not everything before that: otherwise each would cost more than the last. When
 * nothing is left it begins at the start again, for rows that were skipped.
 * @param start what no row is below
 */
export function inSteps(unitOfWork: UnitOfWork, statement: Statement, start: string): Purge {
  let behind: string[] = [];
  return async (before, limit, ...others) => {
    const from = behind.length < BATCHES_BEHIND ? start : behind[0]!;
    const [passed] = await unitOfWork.runOne<Passed>(statement, [before, limit, from, ...others]);
    const { looked, removed, last } = passed!;
    behind = looked < limit || last === null ? [] : [...behind, last].slice(-BATCHES_BEHIND);
    return { looked, removed };
  };
}

/** Deletes what is older than an instant. `between` is called after each page; if it rejects, the rest stays. */
export type DeletingOld = (
  before: Date,
  keptUserIds: readonly string[],
  between: () => Promise<void>,
) => Promise<void>;

/** How many rows a page has that is looked through. */
const PAGE = 2_000;

/**
 * Deletes the rows of a table that are older than an instant, of all users but some, by going through the primary key
 * page by page.
 * @param key the column behind `user_id` in the primary key; `at`: when a row was made
 */
export function deletingOld(
  unitOfWork: UnitOfWork,
  table: string,
  { key, at }: { readonly key: string; readonly at: string },
): DeletingOld {
  const statement: Statement = {
    name: `${table}_delete_old`,
    text: `
      WITH page AS MATERIALIZED (
        SELECT user_id, ${key}, ${at} FROM ${table} WHERE (user_id, ${key}) > ($1, $2) ORDER BY user_id, ${key} LIMIT $3),
      removed AS (
        DELETE FROM ${table} AS old USING page WHERE old.user_id = page.user_id AND old.${key} = page.${key}
          AND page.${at} < $4 AND page.user_id <> ALL ($5::text[]))
      SELECT user_id AS "userId", ${key} AS key FROM page ORDER BY user_id DESC, ${key} DESC LIMIT 1`,
  };
  return async (before, keptUserIds, between) => {
    let from: { userId: string; key: Buffer } | undefined = { userId: '', key: Buffer.alloc(0) };
    while (from !== undefined) {
      const values: unknown[] = [from.userId, from.key, PAGE, before, keptUserIds];
      [from] = await unitOfWork.runOne<{ userId: string; key: Buffer }>(statement, values);
      await between();
    }
  };
}

const STARTS = { timestamptz: '-infinity', bigint: '0' };

/**
 * Deletes rows of a table whose `column` is below a limit. Rows that another node has locked are skipped. It reads the
 * index on the column in its order, and finds the rows again by their place: joined by their keys, or without an
 * order, the planner reads the whole table or all that is old.
 */
export function purging(
  unitOfWork: UnitOfWork,
  table: string,
  column: string,
  type: keyof typeof STARTS = 'timestamptz',
): Purge {
  const text = `
    WITH removed AS (
      DELETE FROM ${table} WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM ${table} WHERE ${column} < $1::${type} AND ${column} >= $3::${type}
        ORDER BY ${column} LIMIT $2 FOR UPDATE SKIP LOCKED))
      RETURNING ${column} AS at)
    SELECT count(*)::int AS looked, count(*)::int AS removed, max(at)::text AS last FROM removed`;
  return inSteps(unitOfWork, { name: `${table}_purge`, text }, STARTS[type]);
}
