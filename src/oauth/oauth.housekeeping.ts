import { Injectable } from '@nestjs/common';
import { Housekeeping, purging } from '../database/housekeeping.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { Clock } from '../system/clock.js';
import { ClientsStore } from './clients/clients.store.js';

/** A code that comes back must be known for some time. */
const GRANT_KEPT_MS = 60 * 60_000;
const CLIENT_KEPT_MS = 30 * 24 * 60 * 60_000;

/** Deletes expired grants, and clients that nobody uses. */
@Injectable()
export class OAuthHousekeeping {
  constructor(housekeeping: Housekeeping, unitOfWork: UnitOfWork, clock: Clock, clients: ClientsStore) {
    const ago = (ms: number) => new Date(clock.now().getTime() - ms);
    const grants = purging(unitOfWork, 'oauth_grants', 'expires_at');
    const deviceGrants = purging(unitOfWork, 'oauth_device_grants', 'expires_at');
    housekeeping.add('oauth_grants', (limit) => grants(ago(GRANT_KEPT_MS), limit));
    housekeeping.add('device_codes', (limit) => deviceGrants(ago(GRANT_KEPT_MS), limit));
    housekeeping.add('oauth_clients', (limit) => clients.purge(ago(CLIENT_KEPT_MS), limit, clock.now()));
  }
}
