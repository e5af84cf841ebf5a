import { Injectable } from '@nestjs/common';
import { Housekeeping, purging } from '../database/housekeeping.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { Clock } from '../system/clock.js';
import { EXPIRED_TOKEN_KEPT_MS } from './session.rules.js';

const PURGE_ACCESS_TOKENS = purging('access_tokens', 'expires_at');
const PURGE_LOGIN_TOKENS = purging('login_tokens', 'expires_at');

/** Removes tokens that are no longer of use. The record of their sessions is kept as long as the device. */
@Injectable()
export class SessionHousekeeping {
  constructor(housekeeping: Housekeeping, unitOfWork: UnitOfWork, clock: Clock) {
    const now = () => clock.now().getTime();
    housekeeping.add('access_tokens', async (limit) => {
      const before = new Date(now() - EXPIRED_TOKEN_KEPT_MS);
      return (await unitOfWork.runOne(PURGE_ACCESS_TOKENS, [before, limit])).length;
    });
    housekeeping.add('login_tokens', async (limit) => {
      return (await unitOfWork.runOne(PURGE_LOGIN_TOKENS, [new Date(now()), limit])).length;
    });
  }
}
