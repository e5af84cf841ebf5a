import { Injectable } from '@nestjs/common';
import { Environment } from '../../config/environment.js';
import { Housekeeping } from '../../database/housekeeping.js';
import { Clock } from '../../system/clock.js';
import { EndingJobsStore } from './ending-jobs.store.js';

/** Removes jobs that are over, as long after it as the audit keeps its entries. */
@Injectable()
export class EndingJobsHousekeeping {
  constructor(housekeeping: Housekeeping, store: EndingJobsStore, clock: Clock, environment: Environment) {
    housekeeping.add('ending_jobs', (limit) =>
      store.purge(new Date(clock.now().getTime() - environment.auditRetentionMs), limit),
    );
  }
}
