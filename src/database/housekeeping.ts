import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { warnUnlessOutage } from '../system/outage.js';

const INTERVAL_MS = 10 * 60 * 1_000;
/** How many rows one statement deletes: so few that nobody has to wait for it. */
const BATCH = 1_000;
/** The most batches of one chore in one round. The rest waits for the next round. */
const MOST_BATCHES = 100;

/** Removes at most `limit` old rows and returns how many it removed. */
export type Chore = (limit: number) => Promise<number>;

/** Removes old rows in the background, in small batches. Several nodes may do so at once. */
@Injectable()
export class Housekeeping implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(Housekeeping.name);
  private readonly chores = new Map<string, Chore>();
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private isStopping = false;

  /** @param what what it removes, in words for the log */
  add(what: string, chore: Chore): void {
    this.chores.set(what, chore);
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
        for (let nth = 0; nth < MOST_BATCHES && !this.isStopping; nth += 1)
          if ((await chore(BATCH)) < BATCH) break;
      } catch (error) {
        warnUnlessOutage(this.logger, `Old ${what} could not be removed`, error);
      }
    }
  }
}

/**
 * A statement that deletes at most `$2` rows of a table that meet a condition on `$1`. Rows that another node has
 * locked are skipped.
 */
export function purging(
  table: string,
  key: readonly string[],
  condition: string,
): { name: string; text: string } {
  const columns = key.join(', ');
  const same = key.map((column) => `t.${column} = old.${column}`).join(' AND ');
  return {
    name: `${table}_purge`,
    text: `
      WITH old AS MATERIALIZED (SELECT ${columns} FROM ${table} WHERE ${condition} LIMIT $2 FOR UPDATE SKIP LOCKED)
      DELETE FROM ${table} t USING old WHERE ${same} RETURNING 1`,
  };
}
