import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { RateLimiterPostgres, RateLimiterRes } from 'rate-limiter-flexible';
import { DataSource } from 'typeorm';
import { Environment, type RateLimitName } from '../config/environment.js';
import { MatrixError } from '../matrix/matrix-error.js';

/** Counts what may happen so often only, in the database that all nodes share. */
@Injectable()
export class RateLimiter {
  /** Empty when limits are off. */
  private readonly limits: ReadonlyMap<RateLimitName, RateLimiterPostgres>;

  constructor(environment: Environment, @InjectDataSource() dataSource: DataSource) {
    this.limits = new Map(
      environment.rateLimits.map(({ name, points, windowMs }) => [
        name,
        new RateLimiterPostgres({
          storeClient: dataSource,
          storeType: 'typeorm',
          tableName: 'rate_limits',
          tableCreated: true,
          keyPrefix: name,
          points,
          duration: windowMs / 1_000,
        }),
      ]),
    );
  }

  /**
   * Counts one attempt of `who`.
   * @throws {MatrixError} `M_LIMIT_EXCEEDED` when there were too many
   */
  async count(name: RateLimitName, who: string): Promise<void> {
    try {
      await this.limits.get(name)?.consume(keyOf(who));
    } catch (refused) {
      throw refused instanceof RateLimiterRes ? MatrixError.limitExceeded(refused.msBeforeNext) : refused;
    }
  }

  /** Counts one failed attempt of `who`; for {@link check} to find. */
  async fail(name: RateLimitName, who: string): Promise<void> {
    await this.limits.get(name)?.penalty(keyOf(who));
  }

  /**
   * Looks without counting: for attempts that count only when they fail.
   * @throws {MatrixError} `M_LIMIT_EXCEEDED` when there were too many
   */
  async check(name: RateLimitName, who: string): Promise<void> {
    const limit = this.limits.get(name);
    const state = await limit?.get(keyOf(who));
    if (limit && state && state.consumedPoints >= limit.points)
      throw MatrixError.limitExceeded(state.msBeforeNext);
  }
}

/** Keys are 255 characters at the most, prefix included; user IDs may be longer. */
function keyOf(who: string): string {
  return who.slice(0, 200);
}
