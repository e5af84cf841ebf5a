import { Injectable } from '@nestjs/common';
import { cameFrom } from '../audit/origins.js';
import { AccountsService, requireActive } from '../accounts/accounts.service.js';
import type { Requester } from '../auth/requester.js';
import { Batcher } from '../database/batcher.js';
import { settle, type Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import {
  type DeletedDevice,
  type DeletionReason,
  deviceKey,
  DevicesDeleted,
  type DeviceRef,
} from '../events/devices-deleted.event.js';
import { EventBus } from '../events/event-bus.js';
import { SessionStarted } from '../events/session-started.event.js';
import { SessionsEnded } from '../events/sessions-ended.event.js';
import type { Origin } from '../matrix/client-origin.decorator.js';
import { MatrixError } from '../matrix/matrix-error.js';
import type { RefreshTokenEntity } from './refresh-token.entity.js';
import {
  requireShortName,
  rotationOf,
  type SessionStart,
  type StartedSession,
  type TokenPair,
} from './session.rules.js';
import { SessionStore } from './session.store.js';
import { TokenIssuer } from './token-issuer.js';
import { accessFamily, type WireToken } from './token.rules.js';

const DAY_MS = 24 * 60 * 60 * 1_000;

/** One request to end a session. */
interface Logout {
  readonly requester: Requester;
  readonly device: DeviceRef;
  readonly origin: Origin;
}

/** Two transactions, so that one works while the other commits; beyond 64 devices a shared commit gains little. */
const GROUP_COMMIT = { lanes: 2, limit: 64 };

/** Begins, refreshes and ends sessions. Nothing else writes a token. */
@Injectable()
export class SessionService {
  private readonly logouts = new Batcher<Logout, boolean | null>(
    (batch) => this.endTogether(batch),
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
   * Begins a session on a device, new or known. The tokens that a known device had before die; its keys stay
   * ("Relationship between access tokens and devices").
   * @throws {MatrixError} `M_FORBIDDEN`, `M_USER_DEACTIVATED` or `M_USER_LOCKED` for who may not get a token;
   *   `M_INVALID_PARAM` or `M_TOO_LARGE` for a device ID or name that cannot be
   */
  async start(tx: Tx, wanted: SessionStart): Promise<StartedSession> {
    const { userId, initialDeviceDisplayName, refreshable } = wanted;
    const deviceId = this.tokens.deviceId(wanted.deviceId);
    requireShortName(initialDeviceDisplayName);
    const device = { userId, deviceId };
    const pair = this.issue(tx, userId, refreshable);
    // A logout of all devices locks the account; a login either was there to be ended or comes after.
    const holding = this.accounts.hold(tx, userId);
    // Sent without waiting for each other: a connection runs its statements in their order.
    const beginning = settle([
      this.events.publish(
        tx,
        new SessionStarted(userId, deviceId, initialDeviceDisplayName, tx.startedAt.getTime()),
      ),
      this.endEarlier(tx, device),
      this.store.insertSession(tx, device, pair),
    ]);
    beginning.catch(() => {});
    requireActive(await holding);
    await beginning;
    return { ...device, pair };
  }

  /**
   * Ends the requester's session: the token, the device and all that hangs on it go in one commit. For an
   * application service, whose token is no session's, the device goes and the token stays. Logouts that come at the same
   * time share a transaction.
   * @throws {MatrixError} `M_UNKNOWN_TOKEN` when the session ended meanwhile
   */
  async end(requester: Requester, device: DeviceRef, origin: Origin): Promise<void> {
    const logout = { requester, device, origin };
    // Who would have to wait for a lock waits alone.
    const outcome = (await this.logouts.add(logout)) ?? (await this.endTogether([logout]))[0];
    if (outcome !== true) throw MatrixError.unknownToken();
  }

  /**
   * Ends every session of the requester's user, the calling one included, in one commit. A login that commits
   * later is not touched.
   * @throws {MatrixError} `M_UNKNOWN_TOKEN` when the session ended meanwhile
   */
  async endAll(requester: Requester, origin: Origin): Promise<void> {
    await this.unitOfWork.run(async (tx) => {
      cameFrom(tx, origin);
      await this.accounts.lock(tx, requester.userId);
      const [devices] = await Promise.all([
        this.store.lockAllDevices(tx, requester.userId),
        this.requireLiveToken(tx, requester),
      ]);
      await this.endLocked(tx, devices, 'logout_all');
    });
  }

  /**
   * Ends the sessions of some of the requester's devices, its own perhaps among them, and deletes the devices. Device
   * IDs that the user does not have, or not any more, are passed over.
   * @throws {MatrixError} `M_UNKNOWN_TOKEN` when the requester's session ended meanwhile
   */
  async endDevices(tx: Tx, requester: Requester, deviceIds: readonly string[]): Promise<void> {
    const { userId } = requester;
    const wanted = [...new Set(deviceIds)].map((deviceId) => ({ userId, deviceId }));
    const [devices] = await Promise.all([
      this.store.lockDevices(tx, wanted),
      this.requireLiveToken(tx, requester),
    ]);
    await this.endLocked(tx, devices, 'device_deleted');
  }

  /**
   * Ends the sessions of a user whom an administrator names: of one device, or all of them.
   * @returns whether the user has such a device
   */
  endByAdmin(userId: string, deviceId: string | null, admin: Requester, origin: Origin): Promise<boolean> {
    return this.unitOfWork.run(async (tx) => {
      cameFrom(tx, { ...origin, actor: admin.userId });
      if (deviceId === null) {
        await this.endOthers(tx, userId, null, 'admin');
        return true;
      }
      const devices = await this.store.lockDevices(tx, [{ userId, deviceId }]);
      await this.endLocked(tx, devices, 'admin');
      return devices.length > 0;
    });
  }

  /** Those of the devices on which nobody can sign in any more, and could not since `before`. */
  async findExpired(devices: readonly DeviceRef[], before: Date): Promise<DeviceRef[]> {
    const usable = await this.unitOfWork.run((tx) => this.findUsable(tx, devices, before));
    return devices.filter((device) => !usable.has(deviceKey(device)));
  }

  /**
   * Ends those of the devices on which nobody can sign in any more, and could not since `before`.
   * @returns how many those are
   */
  async endExpired(devices: readonly DeviceRef[], before: Date): Promise<number> {
    return this.unitOfWork.run(async (tx) => {
      const locked = await this.store.lockDevices(tx, devices);
      const usable = await this.findUsable(tx, locked, before);
      const dead = locked.filter((device) => !usable.has(deviceKey(device)));
      await this.endLocked(tx, dead, 'expired');
      return dead.length;
    });
  }

  /**
   * A new pair of tokens for a refresh token. The old refresh token stays good until one of the new pair is used,
   * so that a lost answer costs nothing; then it is spent, and who presents it again has stolen it or was robbed:
   * the session ends, the device and its keys stay ("Refreshing access tokens").
   * @throws {MatrixError} `M_UNKNOWN_TOKEN`, with `soft_logout` while the device lives; `M_USER_LOCKED`
   */
  async rotate(refreshToken: string, origin: Origin): Promise<TokenPair> {
    const presented = this.tokens.read('mxr', refreshToken);
    if (presented === null) throw MatrixError.unknownToken();
    const { userId, familyDigest, sessionDigest } = presented;
    const pair = await this.unitOfWork.run(async (tx) => {
      cameFrom(tx, origin);
      const [account, session] = await Promise.all([
        this.accounts.hold(tx, userId),
        this.store.lockFamily(tx, userId, familyDigest),
      ]);
      if (session === null) return null;
      requireActive(account);
      return this.rotateLocked(tx, session, presented);
    });
    // Ending the session is what must be remembered of a replay, so the refusal comes after the commit.
    if (pair === null) throw MatrixError.unknownToken(await this.store.isFamilyKnown(userId, sessionDigest));
    return pair;
  }

  /** The first use of a refreshed access token retires the refresh token it was bought with. */
  async confirmRotation(device: DeviceRef, digest: Buffer): Promise<boolean> {
    return this.unitOfWork.run(async (tx) => {
      await this.store.lockDevices(tx, [device]);
      if (!(await this.store.hasAccessToken(tx, device.userId, digest))) return false;
      await Promise.all([this.store.confirmAccessTokens(tx, device), this.store.retirePrevious(tx, device)]);
      return true;
    });
  }

  /**
   * Ends every session of the user but, if one is named, that of one device; its refresh token stays, too. Login
   * tokens go, whichever device asked for them.
   */
  async endOthers(
    tx: Tx,
    userId: string,
    keptDeviceId: string | null,
    reason: DeletionReason,
  ): Promise<void> {
    await this.accounts.lock(tx, userId);
    const devices = await this.store.lockAllDevices(tx, userId);
    const isKept = ({ deviceId }: DeviceRef) => deviceId === keptDeviceId;
    await this.store.deleteLoginTokens(tx, devices.filter(isKept));
    await this.endLocked(
      tx,
      devices.filter((device) => !isKept(device)),
      reason,
    );
  }

  /**
   * A token with which another client of the user can log in, once and soon.
   * @throws {MatrixError} `M_UNKNOWN_TOKEN` when the requester's session ended meanwhile
   */
  async issueLoginToken(requester: Requester, device: DeviceRef, lifetimeMs: number): Promise<string> {
    const { token, digest } = this.tokens.issue('mxl', requester.userId);
    await this.unitOfWork.run(async (tx) => {
      await settle([this.store.lockDevices(tx, [device]), this.requireLiveToken(tx, requester)]);
      await this.store.insertLoginToken(tx, device, digest, new Date(tx.startedAt.getTime() + lifetimeMs));
    });
    return token;
  }

  /**
   * Uses a login token up and gives whose it is.
   * @throws {MatrixError} `M_FORBIDDEN` for one that is unknown, used or late
   */
  async redeemLoginToken(tx: Tx, token: string): Promise<string> {
    const presented = this.tokens.read('mxl', token);
    if (presented === null) throw MatrixError.forbidden('Invalid login token');
    const { userId, digest } = presented;
    // Account and issuing device first, as everywhere: whoever ends them takes their login tokens last.
    await this.accounts.hold(tx, userId);
    const issuer = await this.store.findIssuer(tx, userId, digest);
    if (issuer !== null) await this.store.lockDevices(tx, [issuer]);
    if (!(await this.store.takeLoginToken(tx, userId, digest)))
      throw MatrixError.forbidden('Invalid login token');
    return userId;
  }

  /**
   * Answers for each logout whether its token was still alive; the devices of those that were are gone. `null`: somebody
   * holds the device, and nothing was done; a lonely logout waits instead.
   */
  private endTogether(logouts: readonly Logout[]): Promise<(boolean | null)[]> {
    const wanted = new Map(logouts.map(({ device }) => [deviceKey(device), device]));
    const origins = new Map(logouts.map(({ device, origin }) => [deviceKey(device), origin]));
    return this.unitOfWork.run(async (tx) => {
      cameFrom(tx, origins);
      const [devices, alive] = await Promise.all([
        logouts.length === 1
          ? this.store.lockDevices(tx, [...wanted.values()])
          : this.store.lockFreeDevices(tx, [...wanted.values()]),
        this.store.findLive(
          tx,
          logouts.map(({ requester }) => requester),
        ),
      ]);
      const locked = new Set(devices.map(deviceKey));
      const outcomes = logouts.map(({ requester: { tokenDigest }, device }) => {
        if (tokenDigest !== null && !alive.has(tokenDigest.toString('base64'))) return false;
        return locked.has(deviceKey(device)) || logouts.length === 1 ? true : null;
      });
      const ending = new Set(
        logouts.filter((_, at) => outcomes[at] === true).map(({ device }) => deviceKey(device)),
      );
      const ended = devices.filter((device) => ending.has(deviceKey(device)));
      await this.endLocked(tx, ended, 'logout');
      return outcomes;
    });
  }

  /** Ends devices that the caller has locked: the one path on which devices are deleted. */
  private async endLocked(tx: Tx, devices: readonly DeletedDevice[], reason: DeletionReason): Promise<void> {
    if (devices.length === 0) return;
    await settle([
      this.store.deleteSessions(tx, devices),
      this.events.publish(tx, new DevicesDeleted(devices, reason, tx.startedAt.getTime())),
    ]);
  }

  /** Those of the devices on which somebody could sign in at `before` or later. */
  private async findUsable(tx: Tx, devices: readonly DeviceRef[], before: Date): Promise<Set<string>> {
    const usable = await this.store.findUsable(tx, devices, before, this.tokens.refreshableSince(before));
    return new Set(usable.map(deviceKey));
  }

  /** The tokens that a known device had before die with the next login on it. */
  private async endEarlier(tx: Tx, device: DeviceRef): Promise<void> {
    if (await this.store.deleteTokens(tx, [device])) {
      await this.events.publish(tx, new SessionsEnded([device], 'replaced_by_login', tx.startedAt.getTime()));
    }
  }

  private async rotateLocked(
    tx: Tx,
    session: RefreshTokenEntity,
    presented: WireToken,
  ): Promise<TokenPair | null> {
    const rotation = rotationOf(session, presented.digest);
    if (
      rotation === 'ended' ||
      rotation === 'superseded' ||
      !this.tokens.isRefreshable(session, tx.startedAt)
    )
      return null;
    if (rotation === 'replay') {
      await this.store.endKeepingDevice(tx, session, 'refresh_replay');
      await this.events.publish(
        tx,
        new SessionsEnded([toRef(session)], 'refresh_replay', tx.startedAt.getTime()),
      );
      return null;
    }
    const pair = this.issue(tx, session.userId, true, presented.family);
    await this.store.rotate(tx, session, pair, {
      presented: presented.digest,
      isRetry: rotation === 'retry',
      forgetBefore: new Date(tx.startedAt.getTime() - DAY_MS),
    });
    return pair;
  }

  /** An answer of 200 means that this very token ended: one that died a moment ago is refused. */
  private async requireLiveToken(tx: Tx, { userId, tokenDigest }: Requester): Promise<void> {
    if (tokenDigest === null) return;
    if (!(await this.store.hasAccessToken(tx, userId, tokenDigest))) throw MatrixError.unknownToken();
  }

  private issue(tx: Tx, userId: string, refreshable: boolean, family?: Buffer): TokenPair {
    if (!refreshable) {
      return { access: this.tokens.issue('mxa', userId), refresh: null, lifetimeMs: null, expiresAt: null };
    }
    const refresh = this.tokens.issue('mxr', userId, family);
    const access = this.tokens.issue('mxa', userId, accessFamily(refresh.family));
    const lifetimeMs = this.tokens.accessTokenTtlMs;
    return { access, refresh, lifetimeMs, expiresAt: new Date(tx.startedAt.getTime() + lifetimeMs) };
  }
}

function toRef({ userId, deviceId }: DeviceRef): DeviceRef {
  return { userId, deviceId };
}
