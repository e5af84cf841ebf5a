import { Injectable } from '@nestjs/common';
import { Housekeeping, purging } from '../database/housekeeping.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { Clock } from '../system/clock.js';
import { ClientsStore } from './clients/clients.store.js';

/** A code that comes back must be known for some time. */
const GRANT_KEPT_MS = 60 * 60_000;
const CLIENT_KEPT_MS = 30 * 24 * 60 * 60_000;

const PURGE_GRANTS = purging('oauth_grants', 'expires_at');
const PURGE_DEVICE_GRANTS = purging('oauth_device_grants', 'expires_at');

/** Deletes expired grants, and clients that nobody uses. */
@Injectable()
export class OAuthHousekeeping {
  constructor(housekeeping: Housekeeping, unitOfWork: UnitOfWork, clock: Clock, clients: ClientsStore) {
    const ago = (ms: number) => new Date(clock.now().getTime() - ms);
    housekeeping.add('oauth_grants', async (limit) => {
      return (await unitOfWork.runOne(PURGE_GRANTS, [ago(GRANT_KEPT_MS), limit])).length;
    });
    housekeeping.add('device_codes', async (limit) => {
      return (await unitOfWork.runOne(PURGE_DEVICE_GRANTS, [ago(GRANT_KEPT_MS), limit])).length;
    });
    housekeeping.add('oauth_clients', (limit) => clients.purge(ago(CLIENT_KEPT_MS), limit, clock.now()));
  }
}
