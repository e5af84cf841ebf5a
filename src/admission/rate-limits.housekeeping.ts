import { Injectable } from '@nestjs/common';
import { Housekeeping, purging } from '../database/housekeeping.js';
import { UnitOfWork } from '../database/unit-of-work.js';

/** Counters whose time is over. Their library reads the machine's clock, so this does, too. */
@Injectable()
export class RateLimitsHousekeeping {
  constructor(housekeeping: Housekeeping, unitOfWork: UnitOfWork) {
    const purge = purging(unitOfWork, 'rate_limits', 'expire', 'bigint');
    housekeeping.add('rate_limit_counters', (limit) => purge(Date.now(), limit));
  }
}
