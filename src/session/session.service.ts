import { Injectable } from '@nestjs/common';
import { AccountsService } from '../accounts/accounts.service.js';
import { recordOrigin } from '../audit/origins.js';
import type { Requester, RequesterDevice } from '../auth/requester.js';
import type { SharedWork } from '../database/shared-work.js';
import type { Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import type { DeletionReason } from '../events/devices-deleted.event.js';
import type { Origin } from '../matrix/client-origin.decorator.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { causesOf } from '../system/outage.js';
import { EndingService, ONE_COMMIT } from './ending/ending.service.js';
import { type Logout, LogoutTransaction } from './logout.transaction.js';
import { isDeviceId } from './session.rules.js';
import { SessionStore } from './session.store.js';

/** Ends sessions, whoever asks for it: every way leads through `EndingService`. */
@Injectable()
export class SessionService {
  private readonly logouts: SharedWork<Logout, void>;

  constructor(
    private readonly unitOfWork: UnitOfWork,
    private readonly store: SessionStore,
    private readonly accounts: AccountsService,
    private readonly endings: EndingService,
    logout: LogoutTransaction,
  ) {
    this.logouts = unitOfWork.share(logout);
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
        await this.logouts.together({ tokenDigest, device, origin });
        return;
      } catch (error) {
        const isMuch = () => this.unitOfWork.run((tx) => this.endings.isMuch(tx, device.userId));
        if (!tookTooLong(error) || !(await isMuch())) throw error;
      }
    }
    // Of an application service, or too much for one commit.
    await this.unitOfWork.run(async (tx) => {
      recordOrigin(tx, origin);
      const [devices] = await tx.inOrder(
        () => this.store.lockDevices(tx, [device]),
        () => this.requireLiveToken(tx, requester),
      );
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
      recordOrigin(tx, origin);
      const { userId } = requester;
      // No session begins unseen once the account is locked.
      await tx.inOrder(
        () => this.accounts.lock(tx, userId),
        () => this.endAllLocked(tx, userId, null, 'logout_all'),
        () => this.requireLiveToken(tx, requester),
      );
    });
  }

  /**
   * Ends the sessions of some of the requester's devices, its own perhaps among them, and deletes the devices. Device
   * IDs that the user does not have, or not any more, are passed over.
   * @throws {MatrixError} `M_UNKNOWN_TOKEN` when the requester's session ended meanwhile
   */
  async endDevices(tx: Tx, requester: Requester, deviceIds: readonly string[]): Promise<void> {
    const { userId } = requester;
    const wanted = new Set(deviceIds);
    // The caller's own device, too: two that delete each other wait for each other, and the second finds itself gone.
    const own = requester.device === null ? [] : [requester.device.deviceId];
    const refs = [...new Set([...wanted, ...own])].map((deviceId) => ({ userId, deviceId }));
    const [locked] = await tx.inOrder(
      () => this.store.lockDevices(tx, refs),
      () => this.requireLiveToken(tx, requester),
    );
    const devices = locked.filter(({ deviceId }) => wanted.has(deviceId));
    await this.endings.endLocked(tx, devices, 'device_deleted');
  }

  /**
   * Ends sessions of a user whom somebody else names.
   * @returns how many of the devices there were
   */
  endNamed(userId: string, deviceIds: readonly string[], origin?: Origin): Promise<number> {
    const wanted = [...new Set(deviceIds)].filter(isDeviceId).map((deviceId) => ({ userId, deviceId }));
    return this.unitOfWork.run(async (tx) => {
      if (origin !== undefined) recordOrigin(tx, origin);
      const devices = await this.store.lockDevices(tx, wanted);
      await this.endings.endLocked(tx, devices, 'admin');
      return devices.length;
    });
  }

  /** Ends every session of a user whom somebody else names, but that of one device. */
  endAllNamed(userId: string, keptDeviceId: string | null, origin?: Origin): Promise<void> {
    return this.unitOfWork.run(async (tx) => {
      if (origin !== undefined) recordOrigin(tx, origin);
      await this.endOthers(tx, userId, keptDeviceId, 'admin');
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
    await tx.inOrder(
      () => this.accounts.lock(tx, userId),
      () => this.endAllLocked(tx, userId, keptDeviceId, reason),
      keptDeviceId === null
        ? undefined
        : () => this.store.deleteLoginTokens(tx, [{ userId, deviceId: keptDeviceId }]),
    );
  }

  /** Ends every device of a user but one, of an account that is locked, or whose lock is on its way. */
  private async endAllLocked(
    tx: Tx,
    userId: string,
    keptDeviceId: string | null,
    reason: DeletionReason,
  ): Promise<void> {
    const [devices, isMuch] = await tx.inOrder(
      () => this.store.lockAllDevices(tx, userId, ONE_COMMIT.devices + 1),
      () => this.endings.isMuch(tx, userId),
    );
    if (isMuch || devices.length > ONE_COMMIT.devices)
      return this.endings.endAllInSteps(tx, userId, keptDeviceId, reason);
    return this.endings.end(
      tx,
      devices.filter(({ deviceId }) => deviceId !== keptDeviceId),
      reason,
    );
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
