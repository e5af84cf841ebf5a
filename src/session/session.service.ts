import { Injectable } from '@nestjs/common';
import { cameFrom } from '../audit/origins.js';
import { AccountsService, requireActive } from '../accounts/accounts.service.js';
import type { Requester, RequesterDevice } from '../auth/requester.js';
import { Batcher, GROUP_COMMIT } from '../database/batcher.js';
import { settle, type Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import {
  type DeletedDevice,
  type DeletionReason,
  deviceKey,
  type DeviceRef,
} from '../events/devices-deleted.event.js';
import { EventBus } from '../events/event-bus.js';
import { SessionStarted } from '../events/session-started.event.js';
import { SessionsEnded } from '../events/sessions-ended.event.js';
import type { Origin } from '../matrix/client-origin.decorator.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { causesOf } from '../system/outage.js';
import { EndingService, ONE_COMMIT } from './ending/ending.service.js';
import { isDeviceId, type SessionStart, shortened, type StartedSession } from './session.rules.js';
import { SessionStore } from './session.store.js';
import { TokenIssuer } from './token-issuer.js';

/** One request to end a session. */
interface Logout {
  readonly tokenDigest: Buffer;
  readonly device: RequesterDevice;
  readonly origin: Origin;
}

/** Begins and ends sessions. Beside it only `RefreshService` writes a token. */
@Injectable()
export class SessionService {
  private readonly logouts = new Batcher<Logout, true>(
    (batch, inCompany) => this.endTogether(batch, inCompany),
    GROUP_COMMIT,
  );

  constructor(
    private readonly unitOfWork: UnitOfWork,
    private readonly store: SessionStore,
    private readonly tokens: TokenIssuer,
    private readonly accounts: AccountsService,
    private readonly events: EventBus,
    private readonly endings: EndingService,
  ) {}

  /**
   * Begins a session on a device, new or known. The tokens that a known device had before die; its keys stay
   * ("Relationship between access tokens and devices").
   * @throws {MatrixError} `M_FORBIDDEN`, `M_USER_DEACTIVATED` or `M_USER_LOCKED` for who may not get a token;
   *   `M_INVALID_PARAM` for a device ID that cannot be
   */
  async start(tx: Tx, wanted: SessionStart): Promise<StartedSession> {
    const { userId, refreshable, origin } = wanted;
    const initialDeviceDisplayName =
      wanted.initialDeviceDisplayName === null ? null : shortened(wanted.initialDeviceDisplayName);
    const deviceId = this.tokens.deviceId(wanted.deviceId);
    const device = { userId, deviceId };
    cameFrom(tx, origin, device);
    const pair = refreshable ? this.tokens.issuePair(userId, tx.startedAt) : this.tokens.issueLasting(userId);
    // A logout of all devices locks the account; a login either was there to be ended or comes after.
    const holding = this.accounts.hold(tx, userId);
    if (wanted.deviceId) {
      requireActive(await holding);
      await this.endings.finish(tx, device);
    }
    // Sent without waiting for each other: a connection runs its statements in their order.
    const beginning = settle([
      this.events.publish(
        tx,
        new SessionStarted(userId, deviceId, initialDeviceDisplayName, tx.startedAt.getTime()),
      ),
      // A device ID that was made up a moment ago is nobody's yet.
      wanted.deviceId ? this.endEarlier(tx, device) : undefined,
      this.store.insertSession(tx, device, pair),
    ]);
    beginning.catch(() => {});
    requireActive(await holding);
    await beginning;
    return { ...device, pair };
  }

  /**
   * Ends the requester's session: the token, the device and all that hangs on it go in one commit. For an
   * application service, whose token is no session's, the device goes and the token stays. Logouts that come at the
   * same time share a transaction.
   * @throws {MatrixError} `M_UNKNOWN_TOKEN` when the session ended meanwhile
   */
  async end(requester: Requester, device: RequesterDevice, origin: Origin): Promise<void> {
    const { tokenDigest } = requester;
    if (tokenDigest !== null) {
      try {
        await this.logouts.add({ tokenDigest, device, origin });
        return;
      } catch (error) {
        const isMuch = () => this.unitOfWork.run((tx) => this.endings.isMuch(tx, device.userId));
        if (!tookTooLong(error) || !(await isMuch())) throw error;
      }
    }
    // Of an application service, or too much for one commit.
    await this.unitOfWork.run(async (tx) => {
      cameFrom(tx, origin);
      const [devices] = await settle([
        this.store.lockDevices(tx, [device]),
        this.requireLiveToken(tx, requester),
      ]);
      await this.endings.endLocked(tx, devices, 'logout');
    });
  }

  /**
   * Ends every session of the requester's user, the calling one included, in one commit. A login that commits
   * later is not touched.
   * @throws {MatrixError} `M_UNKNOWN_TOKEN` when the session ended meanwhile
   */
  async endAll(requester: Requester, origin: Origin): Promise<void> {
    await this.unitOfWork.run(async (tx) => {
      cameFrom(tx, origin);
      const { userId } = requester;
      // In this order, and without waiting for each other: no session begins unseen once the account is locked.
      await settle([
        this.accounts.lock(tx, userId),
        this.endAllLocked(tx, userId, null, 'logout_all'),
        this.requireLiveToken(tx, requester),
      ]);
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
    const [devices] = await settle([
      this.store.lockDevices(tx, wanted),
      this.requireLiveToken(tx, requester),
    ]);
    await this.endings.endLocked(tx, devices, 'device_deleted');
  }

  /**
   * Ends sessions of a user whom somebody else names.
   * @returns how many of the devices there were
   */
  endNamed(userId: string, deviceIds: readonly string[], origin?: Origin): Promise<number> {
    const wanted = [...new Set(deviceIds)].filter(isDeviceId).map((deviceId) => ({ userId, deviceId }));
    return this.unitOfWork.run(async (tx) => {
      if (origin !== undefined) cameFrom(tx, origin);
      const devices = await this.store.lockDevices(tx, wanted);
      await this.endings.endLocked(tx, devices, 'admin');
      return devices.length;
    });
  }

  /** Ends every session of a user whom somebody else names, but that of one device. */
  endAllNamed(userId: string, keptDeviceId: string | null, origin?: Origin): Promise<void> {
    return this.unitOfWork.run(async (tx) => {
      if (origin !== undefined) cameFrom(tx, origin);
      await this.endOthers(tx, userId, keptDeviceId, 'admin');
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
      await this.endings.endLocked(tx, dead, 'expired');
      return dead.length;
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
    await settle([
      this.accounts.lock(tx, userId),
      this.endAllLocked(tx, userId, keptDeviceId, reason),
      keptDeviceId === null
        ? undefined
        : this.store.deleteLoginTokens(tx, [{ userId, deviceId: keptDeviceId }]),
    ]);
  }

  /**
   * A token with which another client of the user can log in, once and soon.
   * @param alongside done in the same transaction
   * @throws {MatrixError} `M_UNKNOWN_TOKEN` when the requester's session ended meanwhile
   */
  async issueLoginToken(
    requester: Requester,
    device: DeviceRef,
    lifetimeMs: number,
    alongside: (tx: Tx) => Promise<void>,
  ): Promise<string> {
    const { token, digest } = this.tokens.issue('mxl', requester.userId);
    await this.unitOfWork.run(async (tx) => {
      await settle([this.store.lockDevices(tx, [device]), this.requireLiveToken(tx, requester)]);
      await this.store.insertLoginToken(tx, device, digest, new Date(tx.startedAt.getTime() + lifetimeMs));
      await alongside(tx);
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
   * Ends the sessions of all these logouts, or fails and changes nothing. Everything leaves at once: that the
   * tokens were still alive is known with what was done about them, and before the commit.
   * @throws {MatrixError} `M_UNKNOWN_TOKEN` when one of them was not
   */
  private endTogether(logouts: readonly Logout[], inCompany: boolean): Promise<true[]> {
    const devices = new Map(logouts.map(({ device }) => [deviceKey(device), toDeleted(device)]));
    const end = async (tx: Tx) => {
      for (const { device, origin } of logouts) cameFrom(tx, origin, device);
      await settle([
        // A connection runs its statements in their order: nothing is deleted before it is locked.
        this.store.lockDevices(tx, [...devices.values()]),
        this.requireLive(tx, logouts),
        this.endings.end(tx, [...devices.values()], 'logout'),
      ]);
      return logouts.map(() => true as const);
    };
    return this.unitOfWork.run(end, { inCompany });
  }

  private async requireLive(tx: Tx, logouts: readonly Logout[]): Promise<void> {
    const tokens = logouts.map(({ device: { userId }, tokenDigest }) => ({ userId, tokenDigest }));
    if ((await this.store.countLive(tx, tokens)) < logouts.length) throw MatrixError.unknownToken();
  }

  /** Ends every device of a user but one, of an account that is locked, or whose lock is on its way. */
  private async endAllLocked(
    tx: Tx,
    userId: string,
    keptDeviceId: string | null,
    reason: DeletionReason,
  ): Promise<void> {
    const [devices, isMuch] = await settle([
      this.store.lockAllDevices(tx, userId, ONE_COMMIT.devices + 1),
      this.endings.isMuch(tx, userId),
    ]);
    if (isMuch || devices.length > ONE_COMMIT.devices)
      return this.endings.endAllInSteps(tx, userId, keptDeviceId, reason);
    return this.endings.end(
      tx,
      devices.filter(({ deviceId }) => deviceId !== keptDeviceId),
      reason,
    );
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

  /** An answer of 200 means that this very token ended: one that died a moment ago is refused. */
  private async requireLiveToken(tx: Tx, { userId, tokenDigest }: Requester): Promise<void> {
    if (tokenDigest === null) return;
    if (!(await this.store.hasAccessToken(tx, userId, tokenDigest))) throw MatrixError.unknownToken();
  }
}

/** PostgreSQL broke a statement off, or the listeners were given up. */
function tookTooLong(error: unknown): boolean {
  return [...causesOf(error)].some(({ code, message }) => code === '57014' || /took too long/.test(message));
}

function toDeleted({ userId, deviceId, createdAt }: RequesterDevice): DeletedDevice {
  return { userId, deviceId, createdTs: createdAt.getTime() };
}
