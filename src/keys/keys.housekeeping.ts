import { Injectable } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import { Housekeeping, purging } from '../database/housekeeping.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { Clock } from '../system/clock.js';

/**
 * Removes changes of device lists, and replaced cross-signing keys, once they are older than `DEVICE_LIST_RETENTION`.
 * By then every client that follows the lists knows the new keys, so a device may have an old key as its ID.
 */
@Injectable()
export class KeysHousekeeping {
  constructor(housekeeping: Housekeeping, unitOfWork: UnitOfWork, clock: Clock, environment: Environment) {
    const before = () => clock.now().getTime() - environment.deviceListRetentionMs;
    const changes = purging(unitOfWork, 'device_list_changes', 'position', 'bigint');
    const replacedKeys = purging(unitOfWork, 'cross_signing_keys', 'replaced_at');
    housekeeping.add('device_list_changes', (limit) => changes(Math.max(0, before()) * 1_000, limit));
    housekeeping.add('replaced_cross_signing_keys', (limit) => replacedKeys(new Date(before()), limit));
  }
}
