import { Injectable } from '@nestjs/common';
import type { Requester } from '../auth/requester.js';
import { type IdentityAssertion, TokenVerifier, type Verdict } from '../auth/token-verifier.port.js';
import type { Tx } from '../database/tx.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { Clock } from '../system/clock.js';
import { AppserviceVerifier } from './appservice.verifier.js';
import { RefreshService } from './refresh/refresh.service.js';
import { type FoundAccessToken, SessionStore } from './session.store.js';
import { TokenIssuer } from './token-issuer.js';
import type { WireToken } from './token.rules.js';

/** Resolves who an access token belongs to: a session in the tables of this module, or an application service. */
@Injectable()
export class SessionTokenVerifier extends TokenVerifier {
  constructor(
    private readonly tokens: TokenIssuer,
    private readonly store: SessionStore,
    private readonly refreshes: RefreshService,
    private readonly appservices: AppserviceVerifier,
    private readonly clock: Clock,
  ) {
    super();
  }

  async verify(token: string, asserted: IdentityAssertion): Promise<Verdict> {
    const presented = this.tokens.read('mxa', token);
    if (presented === null) return this.appservices.verify(token, asserted);
    const found = await this.store.findAccessToken(presented.userId, presented.digest);
    if (found === null) return this.unknown(presented);
    const requester = toRequester(presented, found);
    if (found.expiresAt !== null && found.expiresAt <= this.clock.now())
      return { kind: 'expired', requester };
    const isAlive =
      !found.confirmsRotation || (await this.refreshes.confirmRotation(requester.device!, presented.digest));
    return isAlive ? { kind: 'valid', requester } : this.unknown(presented);
  }

  async requireAlive(
    tx: Tx,
    { userId, tokenDigest }: Pick<Requester, 'userId' | 'tokenDigest'>,
  ): Promise<void> {
    if (tokenDigest === null) return;
    if (!(await this.store.hasAccessToken(tx, userId, tokenDigest))) throw MatrixError.unknownToken();
  }

  /**
   * Refuses a replaced or spent token with a soft logout while its device exists, so that the client keeps its keys.
   */
  private async unknown({ userId, sessionDigest }: WireToken): Promise<Verdict> {
    return { kind: 'unknown', deviceLives: await this.store.isFamilyKnown(userId, sessionDigest) };
  }
}

function toRequester({ userId, digest }: WireToken, found: FoundAccessToken): Requester {
  const { deviceId, deviceCreatedAt, expiresAt, kind, isOAuth, isLocked, isSuspended, isAdmin } = found;
  return {
    userId,
    device: { userId, deviceId, createdAt: deviceCreatedAt },
    tokenExpiresAt: expiresAt,
    tokenDigest: digest,
    isGuest: kind === 'guest',
    isAppservice: false,
    isOAuth,
    isLocked,
    isSuspended,
    isAdmin,
  };
}
