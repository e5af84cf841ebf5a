import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Metrics } from '../metrics/metrics.js';
import { warnUnlessOutage } from '../system/outage.js';

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

/** What one batch did, of a chore that also looks at rows that stay. */
export interface Batch {
  readonly looked: number;
  readonly removed: number;
}

/** Removes at most `limit` old rows and returns how many it removed, or looks at so many rows. */
export type Chore = (limit: number) => Promise<number | Batch>;

/** Removes old rows in the background, in small batches. Several nodes may do so at once. */
@Injectable()
export class Housekeeping implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(Housekeeping.name);
  private readonly chores = new Map<string, Chore>();
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private isStopping = false;

  constructor(private readonly metrics: Metrics) {
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
          const done = await chore(BATCH);
          const { looked, removed } = typeof done === 'number' ? { looked: done, removed: done } : done;
          this.count(what, removed);
          if (looked < BATCH) break;
        }
      } catch (error) {
        warnUnlessOutage(this.logger, `Old ${what.replaceAll('_', ' ')} could not be removed`, error);
      }
    }
  }
}

/**
 * A statement that deletes at most `$2` rows of a table, the oldest first, whose `column` is below `$1`. Rows that
 * another node has locked are skipped. It reads the index on the column in its order, and finds the rows again by
 * their place: joined by their keys, or without an order, the planner reads the whole table or all that is old.
 */
export function purging(
  table: string,
  column: string,
  type: 'timestamptz' | 'bigint' = 'timestamptz',
): { name: string; text: string } {
  return {
    name: `${table}_purge`,
    text: `
      DELETE FROM ${table} WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM ${table} WHERE ${column} < $1::${type} ORDER BY ${column} LIMIT $2 FOR UPDATE SKIP LOCKED))
      RETURNING 1`,
  };
}
