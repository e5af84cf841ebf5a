import { Injectable } from '@nestjs/common';
import { Housekeeping, purging } from '../database/housekeeping.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { Clock } from '../system/clock.js';

const PURGE = purging('uia_sessions', 'expires_at');

/** Deletes expired challenges. */
@Injectable()
export class UiaHousekeeping {
  constructor(housekeeping: Housekeeping, unitOfWork: UnitOfWork, clock: Clock) {
    housekeeping.add('challenges', async (limit) => {
      return (await unitOfWork.runOne(PURGE, [clock.now(), limit])).length;
    });
  }
}
