import { createHash } from 'node:crypto';
import { isIPv6 } from 'node:net';
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
      throw refused instanceof RateLimiterRes
        ? MatrixError.limitExceeded(Math.max(1, refused.msBeforeNext))
        : refused;
    }
  }

  /** Takes back what {@link count} counted: for attempts that count only when they fail. */
  async forgive(name: RateLimitName, who: string): Promise<void> {
    await this.limits.get(name)?.reward(keyOf(who));
  }
}

/** Keys are 255 characters at the most; user IDs, and what is tried for one, may be longer. */
function keyOf(who: string): string {
  return createHash('sha256').update(networkOf(who)).digest('base64url');
}

/** Who has an IPv6 address has 2^64 of them: the network counts. */
function networkOf(who: string): string {
  if (!isIPv6(who)) return who;
  const [head = '', tail] = who.split('::');
  const groups = head.split(':').filter((group) => group !== '');
  const missing =
    tail === undefined ? 0 : 8 - groups.length - tail.split(':').filter((group) => group !== '').length;
  const all = [...groups, ...Array.from({ length: missing }, () => '0'), ...(tail ?? '').split(':')];
  // An IPv4 address in IPv6's clothes is one address all the same.
  return who.toLowerCase().startsWith('::ffff:') ? who : all.slice(0, 4).join(':');
}
