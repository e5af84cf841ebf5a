import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { warnUnlessOutage } from '../system/outage.js';

const INTERVAL_MS = 10 * 60 * 1_000;
/** Rows that go in one statement: so few that nobody waits for it. */
const BATCH = 1_000;
/** Of one chore in one round; what is left waits for the next one. */
const MOST_BATCHES = 100;

/** Removes what is old, `limit` rows at the most, and says how many those were. */
export type Chore = (limit: number) => Promise<number>;

/** Removes what is old behind the scenes, in small batches; nodes may do it side by side. */
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

  /** Does all chores. It never rejects: what fails is tried again the next time. */
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

/** Deletes rows of a table that meet a condition on `$1`, `$2` at the most; nodes pass over what others are at. */
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
