import { Injectable } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import { Housekeeping } from '../database/housekeeping.js';
import { Clock } from '../system/clock.js';
import { AuditStore } from './audit.store.js';

/** Deletes entries that are older than `AUDIT_RETENTION`. */
@Injectable()
export class AuditHousekeeping {
  constructor(housekeeping: Housekeeping, store: AuditStore, environment: Environment, clock: Clock) {
    housekeeping.add('audit_entries', (limit) =>
      store.purge(new Date(clock.now().getTime() - environment.auditRetentionMs), limit),
    );
  }
}
