import { Injectable } from '@nestjs/common';
import type { SharedWork } from '../../database/shared-work.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { DeviceRows } from '../../device-rows/device-rows.js';
import type { DeviceRef } from '../../events/devices-deleted.event.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import type { TokenPair } from '../session.rules.js';
import { SessionStore } from '../session.store.js';
import { TokenIssuer } from '../token-issuer.js';
import {
  pairOf,
  type Refresh,
  type Refreshed,
  type RefreshingClient,
  RefreshTransaction,
} from './refresh.transaction.js';

/** What an OAuth 2.0 client gets for a refresh token. */
export type ClientRefresh =
  | { readonly kind: 'rotated'; readonly pair: TokenPair; readonly scope: string }
  | { readonly kind: 'refused' | 'beyond_scope' };

/** Refreshes sessions: exchanges a refresh token for a new pair of tokens. */
@Injectable()
export class RefreshService {
  private readonly refreshes: SharedWork<Refresh, Refreshed>;

  constructor(
    private readonly unitOfWork: UnitOfWork,
    private readonly store: SessionStore,
    private readonly tokens: TokenIssuer,
    private readonly devices: DeviceRows,
    refresh: RefreshTransaction,
  ) {
    this.refreshes = unitOfWork.share(refresh);
  }

  /**
   * Exchanges a refresh token for a new pair of tokens. The old refresh token stays valid until one of the new pair
   * is used, so that a lost response does no harm; then it is spent. A spent token that is presented again within
   * `REFRESH_REPLAY_GRACE` is refused, and nothing else happens, because two clients may share one session. Later it
   * counts as stolen: the session ends, but the device and its keys stay ("Refreshing access tokens").
   * @throws {MatrixError} `M_UNKNOWN_TOKEN`, with `soft_logout` while the device exists; `M_USER_LOCKED`
   */
  async rotate(refreshToken: string, origin: Origin): Promise<TokenPair> {
    const presented = this.tokens.read('mxr', refreshToken);
    if (presented === null) throw MatrixError.unknownToken();
    const pair = pairOf(await this.refreshes.together({ presented, origin, client: null }));
    const { userId, sessionDigest } = presented;
    // The end of a replayed session must be committed, so the refusal comes after the commit.
    if (pair === null) throw MatrixError.unknownToken(await this.store.isFamilyKnown(userId, sessionDigest));
    return pair;
  }

  /**
   * The same for an OAuth 2.0 client, by the same rules and in the same shared transactions. A token of another client
   * or of the refresh API is refused, and nothing happens to its session. A locked account is no reason to refuse.
   */
  async rotateFor(client: RefreshingClient, refreshToken: string, origin: Origin): Promise<ClientRefresh> {
    const presented = this.tokens.read('mxr', refreshToken);
    if (presented === null) return { kind: 'refused' };
    const refreshed = await this.refreshes.together({ presented, origin, client });
    if (refreshed.kind === 'beyond_scope') return refreshed;
    if (refreshed.kind !== 'rotated') return { kind: 'refused' };
    const { pair, session } = refreshed.rotation;
    return { kind: 'rotated', pair, scope: session.oauthScope! };
  }

  /**
   * Retires the previous refresh token on the first use of a refreshed access token. Returns `false` if that access
   * token is gone.
   */
  async confirmRotation(device: DeviceRef, digest: Buffer): Promise<boolean> {
    return this.unitOfWork.run(async (tx) => {
      await this.devices.lock(tx, [device]);
      if (!(await this.store.hasAccessToken(tx, device.userId, digest))) return false;
      await tx.inOrder(
        () => this.store.confirmAccessTokens(tx, device),
        () => this.store.retirePrevious(tx, device),
      );
      return true;
    });
  }
}
