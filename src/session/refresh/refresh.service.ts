import { Injectable } from '@nestjs/common';
import { AccountsService, isActive, requireActive } from '../../accounts/accounts.service.js';
import { cameFrom } from '../../audit/origins.js';
import { Batcher, GROUP_COMMIT, NOT_SERVED } from '../../database/batcher.js';
import { settle, type Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { DeviceRef } from '../../events/devices-deleted.event.js';
import { EventBus } from '../../events/event-bus.js';
import { SessionsEnded } from '../../events/sessions-ended.event.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import type { RefreshTokenEntity } from '../refresh-token.entity.js';
import { EXPIRED_TOKEN_KEPT_MS, type TokenPair } from '../session.rules.js';
import { type Rotated, SessionStore } from '../session.store.js';
import { TokenIssuer } from '../token-issuer.js';
import type { WireToken } from '../token.rules.js';

/** One request for a new pair. */
interface Refresh {
  readonly presented: WireToken;
  readonly origin: Origin;
}

/** `null`: refused. */
type Outcome = TokenPair | null;

/** Keeps sessions going: a refresh token makes way for a new pair of tokens. */
@Injectable()
export class RefreshService {
  private readonly refreshes = new Batcher<Refresh, Outcome>(
    (batch, inCompany) => this.rotateTogether(batch, inCompany),
    GROUP_COMMIT,
  );

  constructor(
    private readonly unitOfWork: UnitOfWork,
    private readonly store: SessionStore,
    private readonly tokens: TokenIssuer,
    private readonly accounts: AccountsService,
    private readonly events: EventBus,
  ) {}

  /**
   * A new pair of tokens for a refresh token. The old refresh token stays good until one of the new pair is used,
   * so that a lost answer costs nothing; then it is spent. Who presents it again within `REFRESH_REPLAY_GRACE` is
   * refused, and nothing else happens: clients of one session come late. Later they have stolen it, or were robbed:
   * the session ends, the device and its keys stay ("Refreshing access tokens"). Refreshes that come at the same
   * time share a transaction.
   * @throws {MatrixError} `M_UNKNOWN_TOKEN`, with `soft_logout` while the device lives; `M_USER_LOCKED`
   */
  async rotate(refreshToken: string, origin: Origin): Promise<TokenPair> {
    const presented = this.tokens.read('mxr', refreshToken);
    if (presented === null) throw MatrixError.unknownToken();
    const pair = await this.refreshes.add({ presented, origin });
    const { userId, sessionDigest } = presented;
    // Ending the session is what must be remembered of a replay, so the refusal comes after the commit.
    if (pair === null) throw MatrixError.unknownToken(await this.store.isFamilyKnown(userId, sessionDigest));
    return pair;
  }

  /** The first use of a refreshed access token retires the refresh token it was bought with. */
  async confirmRotation(device: DeviceRef, digest: Buffer): Promise<boolean> {
    return this.unitOfWork.run(async (tx) => {
      await this.store.lockDevices(tx, [device]);
      if (!(await this.store.hasAccessToken(tx, device.userId, digest))) return false;
      await settle([this.store.confirmAccessTokens(tx, device), this.store.retirePrevious(tx, device)]);
      return true;
    });
  }

  private rotateTogether(
    refreshes: readonly Refresh[],
    inCompany: boolean,
  ): Promise<(Outcome | typeof NOT_SERVED)[]> {
    const isAlone = refreshes.length === 1;
    const presented = refreshes.map((refresh) => refresh.presented);
    const userIds = [...new Set(presented.map(({ userId }) => userId))];
    const rotate = async (tx: Tx) => {
      const [accounts, locked] = await settle([
        this.accounts.holdAll(tx, userIds),
        this.store.lockFamilies(tx, presented),
      ]);
      const sessions = new Map(locked.map((session) => [familyKey(session.userId, session.family), session]));
      const rotations: Rotated[] = [];
      const replayed: RefreshTokenEntity[] = [];
      const outcomes = refreshes.map(({ presented: token, origin }): Outcome | typeof NOT_SERVED => {
        const key = familyKey(token.userId, token.familyDigest);
        const session = sessions.get(key);
        const account = accounts.get(token.userId) ?? null;
        // In company: another request may have come with the same token a moment earlier.
        if (session === undefined) return isAlone ? null : NOT_SERVED;
        if (!isAlone && !isActive(account)) return NOT_SERVED;
        requireActive(account);
        sessions.delete(key);
        cameFrom(tx, origin, session);
        const rotation = this.tokens.rotationOf(session, token.digest, tx.startedAt);
        if (rotation === 'ended' || rotation === 'superseded' || rotation === 'late') return null;
        if (!this.tokens.isRefreshable(session, tx.startedAt)) return null;
        if (rotation === 'replay') {
          replayed.push(session);
          return null;
        }
        const pair = this.tokens.issuePair(session.userId, tx.startedAt, token.family);
        rotations.push({ session, presented: token.digest, isRetry: rotation === 'retry', pair });
        return pair;
      });
      await settle([this.putInPlace(tx, rotations), this.endReplayed(tx, replayed)]);
      return outcomes;
    };
    return this.unitOfWork.run(rotate, { inCompany });
  }

  private async putInPlace(tx: Tx, rotations: readonly Rotated[]): Promise<void> {
    const [first] = rotations;
    if (first === undefined) return;
    await this.store.rotate(tx, rotations, {
      expiresAt: first.pair.expiresAt!,
      forgetBefore: new Date(tx.startedAt.getTime() - EXPIRED_TOKEN_KEPT_MS),
    });
  }

  private async endReplayed(tx: Tx, sessions: readonly RefreshTokenEntity[]): Promise<void> {
    if (sessions.length === 0) return;
    const ended = sessions.map(({ userId, deviceId }) => ({ userId, deviceId }));
    await settle([
      ...sessions.map((session) => this.store.endKeepingDevice(tx, session, 'refresh_replay')),
      this.events.publish(tx, new SessionsEnded(ended, 'refresh_replay', tx.startedAt.getTime())),
    ]);
  }
}

function familyKey(userId: string, family: Buffer): string {
  return `${userId}\0${family.toString('base64')}`;
}
