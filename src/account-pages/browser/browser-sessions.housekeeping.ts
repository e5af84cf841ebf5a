import { Injectable } from '@nestjs/common';
import { Housekeeping, purging } from '../../database/housekeeping.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { Clock } from '../../system/clock.js';

const PURGE = purging('browser_sessions', 'expires_at');

/** Deletes expired sessions of browsers. */
@Injectable()
export class BrowserSessionsHousekeeping {
  constructor(housekeeping: Housekeeping, unitOfWork: UnitOfWork, clock: Clock) {
    housekeeping.add('browser_sessions', async (limit) => {
      return (await unitOfWork.runOne(PURGE, [clock.now(), limit])).length;
    });
  }
}
