import { Injectable } from '@nestjs/common';
import { Housekeeping, purging } from '../database/housekeeping.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { Clock } from '../system/clock.js';

/** Deletes expired challenges. */
@Injectable()
export class UiaHousekeeping {
  constructor(housekeeping: Housekeeping, unitOfWork: UnitOfWork, clock: Clock) {
    const purge = purging(unitOfWork, 'uia_sessions', 'expires_at');
    housekeeping.add('challenges', (limit) => purge(clock.now(), limit));
  }
}
