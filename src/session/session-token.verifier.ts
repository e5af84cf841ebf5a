import { Injectable } from '@nestjs/common';
import { TokenVerifier, type Verdict } from '../auth/token-verifier.port.js';
import { Clock } from '../system/clock.js';
import { SessionService } from './session.service.js';
import { SessionStore } from './session.store.js';
import { TokenIssuer } from './token-issuer.js';

/** Tells whose an access token is, from the tables of this module. */
@Injectable()
export class SessionTokenVerifier extends TokenVerifier {
  constructor(
    private readonly tokens: TokenIssuer,
    private readonly store: SessionStore,
    private readonly sessions: SessionService,
    private readonly clock: Clock,
  ) {
    super();
  }

  async verify(token: string): Promise<Verdict> {
    const presented = this.tokens.read('mxa', token);
    if (presented === null) return { kind: 'unknown' };
    const { userId, digest } = presented;
    const found = await this.store.findAccessToken(userId, digest);
    if (found === null) return { kind: 'unknown' };
    const { deviceId, deviceCreatedAt } = found;
    const requester = { userId, deviceId, deviceCreatedAt, tokenDigest: digest };
    if (found.expiresAt !== null && found.expiresAt <= this.clock.now())
      return { kind: 'expired', requester };
    if (found.confirmsRotation && !(await this.sessions.confirmRotation(requester, digest)))
      return { kind: 'unknown' };
    return { kind: 'valid', requester };
  }
}
