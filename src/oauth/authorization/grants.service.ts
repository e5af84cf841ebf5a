import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { AccountsService } from '../../accounts/accounts.service.js';
import type { DeletingOld } from '../../database/housekeeping.js';
import type { Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { HomeserverUnavailable } from '../../homeserver/homeserver.port.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { OAuthError } from '../../matrix/oauth-error.js';
import { OAuthSessionsService } from '../../session/oauth-sessions.service.js';
import type { StartedSession } from '../../session/session.rules.js';
import { SessionStartService } from '../../session/session-start.service.js';
import { titleOf } from '../clients/client-metadata.rules.js';
import type { Client } from '../clients/clients.store.js';
import { type GrantRef, GrantsStore, type NewGrant } from './grants.store.js';
import type { OAuthGrantEntity } from './oauth-grant.entity.js';

/** Apps send a code twice by mistake. Later it is theft ("Token request"). */
const TWICE_BY_MISTAKE_MS = 20_000;

/** A code verifier (RFC 7636, section 4.1). */
const VERIFIER = /^[\w.~-]{43,128}$/;

/** Tokens for a client, and the scope that they have. */
export interface Granted {
  readonly session: StartedSession;
  readonly scope: string;
}

/** Stores what users allow clients, and begins the session when a client fetches its tokens. */
@Injectable()
export class GrantsService {
  constructor(
    private readonly store: GrantsStore,
    private readonly accounts: AccountsService,
    private readonly starts: SessionStartService,
    private readonly sessions: OAuthSessionsService,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  /** Stores a grant. The account must be held, so that its end deletes the grant. */
  async give(tx: Tx, grant: Omit<NewGrant, 'issuedAt'>): Promise<void> {
    await this.store.insert(tx, { ...grant, issuedAt: tx.startedAt });
  }

  /**
   * Begins the session of a grant, once: session, device, tokens and the use of the grant are one commit. If that
   * fails, the grant is as good as before. The second call is refused; if it comes later than by mistake, it ends the
   * session that the first one began.
   * @param isRightfully whether the client has proven that the grant is its own
   * @throws {OAuthError} 400 `invalid_grant`
   */
  async redeem(
    ref: GrantRef,
    client: Client,
    isRightfully: (grant: OAuthGrantEntity) => boolean,
    origin: Origin,
  ): Promise<Granted> {
    const redeemed = await this.unitOfWork
      .run(async (tx) => {
        // The account first, as everywhere: whoever ends all sessions locks it, and deletes grants after that.
        await this.accounts.hold(tx, ref.userId);
        const grant = await this.store.lock(tx, ref);
        if (grant === null || grant.clientId !== client.clientId || !isRightfully(grant)) return null;
        if (grant.usedAt !== null)
          return { again: grant, after: tx.startedAt.getTime() - grant.usedAt.getTime() };
        if (grant.expiresAt <= tx.startedAt) return null;
        return this.begin(tx, grant, client, origin);
      })
      .catch(async (error: unknown) => {
        // The homeserver has not heard of the session, which was ended again. The client may try once more.
        if (error instanceof HomeserverUnavailable) await this.store.giveBack(ref);
        // The account is locked or deactivated, or a listener has refused the session.
        throw error instanceof MatrixError && error.status < 429 ? invalidGrant() : error;
      });
    if (redeemed === null) throw invalidGrant();
    if ('session' in redeemed) return redeemed;
    const { again, after } = redeemed;
    // A device that asks once more is no thief: nobody else has seen its code.
    const isStolen = again.codeChallenge !== null && after > TWICE_BY_MISTAKE_MS;
    if (isStolen && again.sessionDigest !== null)
      await this.sessions.end(
        { userId: again.userId, sessionDigest: again.sessionDigest },
        origin,
        () => 'code_replay',
      );
    throw invalidGrant();
  }

  /** Deletes what a user has allowed and nobody has fetched. */
  forget(tx: Tx, userId: string): Promise<void> {
    return this.store.forget(tx, userId);
  }

  /** Deletes what was allowed before an instant, by all users but some. */
  forgetOld(...old: Parameters<DeletingOld>): Promise<void> {
    return this.store.forgetOld(...old);
  }

  private async begin(tx: Tx, grant: OAuthGrantEntity, client: Client, origin: Origin): Promise<Granted> {
    const { userId, deviceId, scope } = grant;
    const session = await this.starts.start(tx, {
      userId,
      deviceId,
      initialDeviceDisplayName: titleOf(client.metadata),
      refreshable: true,
      origin,
      client: { clientId: client.clientId, scope },
    });
    await this.store.use(tx, grant, session.pair.access.sessionDigest);
    return { session, scope };
  }
}

/** Whether a verifier is that of a challenge, by the method S256. */
export function isVerifierOf(verifier: string, codeChallenge: string | null): boolean {
  return (
    VERIFIER.test(verifier) && createHash('sha256').update(verifier).digest('base64url') === codeChallenge
  );
}

/** One text for all, so that it does not tell what was right. */
export function invalidGrant(): OAuthError {
  return new OAuthError(
    400,
    'invalid_grant',
    'The grant is unknown, expired or used, or the client, redirect_uri or code_verifier is not that of its request',
  );
}
