import { Injectable } from '@nestjs/common';
import { Housekeeping, purging } from '../database/housekeeping.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { Clock } from '../system/clock.js';
import { EXPIRED_TOKEN_KEPT_MS } from './session.rules.js';

/** Removes tokens that are no longer of use. The record of their sessions is kept as long as the device. */
@Injectable()
export class SessionHousekeeping {
  constructor(housekeeping: Housekeeping, unitOfWork: UnitOfWork, clock: Clock) {
    const accessTokens = purging(unitOfWork, 'access_tokens', 'expires_at');
    const loginTokens = purging(unitOfWork, 'login_tokens', 'expires_at');
    housekeeping.add('access_tokens', (limit) =>
      accessTokens(new Date(clock.now().getTime() - EXPIRED_TOKEN_KEPT_MS), limit),
    );
    housekeeping.add('login_tokens', (limit) => loginTokens(clock.now(), limit));
  }
}
