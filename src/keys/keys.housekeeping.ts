import { Injectable } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import { Housekeeping, purging } from '../database/housekeeping.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { Clock } from '../system/clock.js';

const PURGE_CHANGES = purging('device_list_changes', ['user_id', 'position'], 'position < $1::bigint');
const PURGE_REPLACED_KEYS = purging('cross_signing_keys', ['user_id', 'public_key'], 'replaced_at < $1');

/**
 * Has what is older than `DEVICE_LIST_RETENTION` removed: changes of device lists, and cross-signing keys that were
 * replaced. By then every client that follows the lists knows the new keys, and a device may be called like an old
 * one.
 */
@Injectable()
export class KeysHousekeeping {
  constructor(housekeeping: Housekeeping, unitOfWork: UnitOfWork, clock: Clock, environment: Environment) {
    const before = () => clock.now().getTime() - environment.deviceListRetentionMs;
    housekeeping.add('changes of device lists', async (limit) => {
      return (await unitOfWork.runOne(PURGE_CHANGES, [Math.max(0, before()) * 1_000, limit])).length;
    });
    housekeeping.add('replaced cross-signing keys', async (limit) => {
      return (await unitOfWork.runOne(PURGE_REPLACED_KEYS, [new Date(before()), limit])).length;
    });
  }
}
