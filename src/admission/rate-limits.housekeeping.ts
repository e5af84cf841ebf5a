import { Injectable } from '@nestjs/common';
import { Housekeeping, purging } from '../database/housekeeping.js';
import { UnitOfWork } from '../database/unit-of-work.js';

const PURGE = purging('rate_limits', 'expire', 'bigint');

/** Counters whose time is over. Their library reads the machine's clock, so this does, too. */
@Injectable()
export class RateLimitsHousekeeping {
  constructor(housekeeping: Housekeeping, unitOfWork: UnitOfWork) {
    housekeeping.add('rate_limit_counters', async (limit) => {
      return (await unitOfWork.runOne(PURGE, [Date.now(), limit])).length;
    });
  }
}
