import { createHash } from 'node:crypto';
import { Injectable, Logger } from '@nestjs/common';
import {
  type RateLimiterAbstract,
  RateLimiterMemory,
  RateLimiterPostgres,
  RateLimiterRes,
} from 'rate-limiter-flexible';
import { Environment } from '../config/environment.js';
import { countedFor, RATE_LIMIT_NAMES, type RateLimit, type RateLimitName } from '../config/rate-limits.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { networkOf } from '../matrix/client-address.js';
import { ErrorAnswer, MatrixError } from '../matrix/matrix-error.js';
import { Metrics } from '../metrics/metrics.js';
import { warnUnlessOutage } from '../system/outage.js';

const REFUSALS = {
  name: 'session_rate_limit_refusals_total',
  help: 'Requests that a rate limit refused, or of keys, claims that got no one-time key.',
  labelNames: ['limit'],
};

/** When to come back if the limit is filled by attempts that are still running. */
const WHILE_RUNNING_MS = 2_000;

/** A limit of a team's own, named as events are: `acme.reports`. */
export interface OwnRateLimit {
  readonly name: `${string}.${string}`;
  /** How many may happen in `windowMs`. */
  readonly points: number;
  readonly windowMs: number;
}

/** What is limited, and who does it: a user, an address or a name. */
export type Attempt = readonly [limit: RateLimitName | OwnRateLimit['name'], who: string];

/**
 * Limits how often something may happen. The counters are in the database that all nodes share; those of key requests
 * are in each node's memory. With `RATE_LIMITS=off` nothing is counted.
 *
 * @example
 * ```ts
 * @Injectable()
 * class Reports implements OnModuleInit {
 *   constructor(private readonly limiter: RateLimiter) {}
 *   onModuleInit() {
 *     this.limiter.add({ name: 'acme.reports', points: 5, windowMs: 60_000 });
 *   }
 *   async report({ userId }: Requester) {
 *     await this.limiter.count('acme.reports', userId);
 *   }
 * }
 * ```
 */
@Injectable()
export class RateLimiter {
  private readonly logger = new Logger(RateLimiter.name);
  /** Empty when limits are off. */
  private readonly limits: Map<string, RateLimiterAbstract>;
  private readonly known: Set<string>;
  /** How many attempts are running here that count if they fail, by limit and by who makes them. */
  private readonly running = new Map<string, number>();

  constructor(
    environment: Environment,
    private readonly unitOfWork: UnitOfWork,
    private readonly metrics: Metrics,
  ) {
    this.limits = new Map(environment.rateLimits.map((limit) => [limit.name, toLimiter(limit, unitOfWork)]));
    this.known = new Set(RATE_LIMIT_NAMES);
    metrics.addCounter(REFUSALS);
    for (const limit of this.known) metrics.count(REFUSALS.name, { limit }, 0);
  }

  /**
   * Adds a limit, for a module to call when it is initialised (`onModuleInit`).
   * @throws {Error} for a name that is taken, and for numbers that are no limit
   */
  add({ name, points, windowMs }: OwnRateLimit): void {
    if (this.known.has(name)) throw new Error(`There is a limit ${name} already`);
    if (!name.includes('.')) throw new Error(`${name} must be named like events are, such as acme.${name}`);
    if (!Number.isInteger(points) || points < 1 || !(windowMs >= 1_000) || name.length > 100)
      throw new Error(`${name} must allow one or more in a second or more, and have a short name`);
    this.known.add(name);
    this.metrics.count(REFUSALS.name, { limit: name }, 0);
    if (this.limits.size > 0) this.limits.set(name, toLimiter({ name, points, windowMs }, this.unitOfWork));
  }

  /**
   * Counts one attempt.
   * @throws {MatrixError} `M_LIMIT_EXCEEDED`, with when to come back, when there were too many
   * @throws {Error} for a limit that nobody has added
   */
  async count(...[name, who]: Attempt): Promise<void> {
    const refused = await this.consume(name, who);
    if (refused === null) return;
    this.metrics.count(REFUSALS.name, { limit: name });
    throw MatrixError.limitExceeded(Math.max(1, refused.msBeforeNext));
  }

  /** Whether the limit is reached. It counts no attempt. */
  async isUsedUp(...[name, who]: Attempt): Promise<boolean> {
    const counted = await this.limits.get(name)?.get(keyOf(who));
    const isUsedUp = (counted?.remainingPoints ?? 1) <= 0;
    if (isUsedUp) this.metrics.count(REFUSALS.name, { limit: name });
    return isUsedUp;
  }

  /** Counts what has already happened: nothing is refused. */
  async tally(...[name, who]: Attempt): Promise<void> {
    await this.consume(name, who);
  }

  /**
   * Counts one attempt under several limits, or under none of them: if one limit refuses, none counts it. The limits
   * of an address come first, whatever the order here. So an address that has used up its own limit cannot use up
   * that of somebody else's account.
   * @throws {MatrixError} `M_LIMIT_EXCEEDED`
   */
  async countAll(attempts: readonly Attempt[]): Promise<void> {
    const ordered = attempts.toSorted((one, other) => rankOf(one) - rankOf(other));
    for (const [at, attempt] of ordered.entries()) {
      try {
        await this.count(...attempt);
      } catch (error) {
        // The limit counts what it refuses, too. Attempts that are taken back later would otherwise leave it used up.
        await this.forgive(ordered.slice(0, at + 1));
        throw error;
      }
    }
  }

  /**
   * Runs `attempt`, and counts it if it is refused (401 or 403). It is counted before it runs, so that many attempts
   * at once cannot pass the limit, and taken back if it succeeds or fails for another reason.
   * @throws {MatrixError} `M_LIMIT_EXCEEDED` without running `attempt`; otherwise whatever `attempt` throws
   */
  async countFailures<Result>(attempts: readonly Attempt[], attempt: () => Promise<Result>): Promise<Result> {
    const keys = attempts.map(([name, who]) => `${name} ${who}`);
    const areRunning = () => keys.some((key) => this.running.has(key));
    const wereRunning = areRunning();
    await this.countAll(attempts).catch((error: unknown) => {
      // Those that are running, or ended while this one was counted, may be taken back.
      throw wereRunning || areRunning() ? MatrixError.limitExceeded(WHILE_RUNNING_MS) : error;
    });
    for (const key of keys) this.running.set(key, (this.running.get(key) ?? 0) + 1);
    let isCounted = false;
    try {
      return await attempt();
    } catch (error) {
      isCounted = error instanceof ErrorAnswer && (error.status === 401 || error.status === 403);
      throw error;
    } finally {
      for (const key of keys) this.end(key);
      if (!isCounted) await this.forgive(attempts);
    }
  }

  private end(key: string): void {
    const others = this.running.get(key)! - 1;
    if (others === 0) this.running.delete(key);
    else this.running.set(key, others);
  }

  /** Takes back what was counted. It never rejects, because what the attempt has done matters more than a counter. */
  private async forgive(attempts: readonly Attempt[]): Promise<void> {
    for (const [name, who] of attempts) {
      try {
        await this.limits.get(name)?.reward(keyOf(who));
      } catch (error) {
        warnUnlessOutage(this.logger, 'A counter could not be taken back', error);
      }
    }
  }

  /** Gives the answer of the limiter when there were too many. */
  private async consume(...[name, who]: Attempt): Promise<RateLimiterRes | null> {
    if (!this.known.has(name)) throw new Error(`There is no limit ${name}`);
    try {
      await this.limits.get(name)?.consume(keyOf(who));
      return null;
    } catch (refused) {
      if (refused instanceof RateLimiterRes) return refused;
      throw refused;
    }
  }
}

/** Addresses come first. The limits of teams keep their place among the others. */
function rankOf([name]: Attempt): number {
  const isOfAddress =
    (RATE_LIMIT_NAMES as readonly string[]).includes(name) && countedFor(name as RateLimitName) === 'address';
  return isOfAddress ? 0 : 1;
}

/** A limit, whoever has set it. */
interface Counted extends Pick<RateLimit, 'points' | 'windowMs'> {
  readonly name: string;
  readonly isPerNode?: boolean;
}

function toLimiter(
  { name, points, windowMs, isPerNode = false }: Counted,
  unitOfWork: UnitOfWork,
): RateLimiterAbstract {
  const options = { keyPrefix: name, points, duration: windowMs / 1_000 };
  if (isPerNode) return new RateLimiterMemory(options);
  return new RateLimiterPostgres({
    ...options,
    storeClient: { query: (query: Counting) => send(unitOfWork, query) },
    storeType: 'client',
    tableName: 'rate_limits',
    tableCreated: true,
    // Old counters are removed with everything else that is old.
    clearExpiredByTimeout: false,
  });
}

/** A statement of the library. */
interface Counting {
  readonly name: string;
  readonly text: string;
  readonly values: unknown[];
}

/**
 * Counters are written as everything is: they take no connection that others are to have, and wait no longer than
 * others.
 */
async function send(unitOfWork: UnitOfWork, { name, text, values }: Counting): Promise<{ rows: object[] }> {
  return { rows: await unitOfWork.runOne({ name, text }, values) };
}

/** Keys have at most 255 characters; user IDs, and what is tried for one, may be longer. */
function keyOf(who: string): string {
  return createHash('sha256').update(networkOf(who)).digest('base64url');
}
