import { Injectable } from '@nestjs/common';
import { Housekeeping, purging } from '../../database/housekeeping.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { Clock } from '../../system/clock.js';

/** Deletes expired sessions of browsers. */
@Injectable()
export class BrowserSessionsHousekeeping {
  constructor(housekeeping: Housekeeping, unitOfWork: UnitOfWork, clock: Clock) {
    const purge = purging(unitOfWork, 'browser_sessions', 'expires_at');
    housekeeping.add('browser_sessions', (limit) => purge(clock.now(), limit));
  }
}
