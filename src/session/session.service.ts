import { Injectable } from '@nestjs/common';
import { AccountsService } from '../accounts/accounts.service.js';
import { recordOrigin } from '../audit/origins.js';
import type { Requester, RequesterDevice } from '../auth/requester.js';
import type { SharedWork } from '../database/shared-work.js';
import type { Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import type { DeletionReason } from '../events/devices-deleted.event.js';
import type { Origin } from '../matrix/client-origin.decorator.js';
import { causesOf } from '../system/outage.js';
import { EndingService } from './ending/ending.service.js';
import { type Logout, LogoutTransaction } from './logout.transaction.js';
import { isDeviceId } from '../device-rows/device.rules.js';
import { SessionTokenVerifier } from './session-token.verifier.js';

/** Ends sessions, whoever asks for it: every way leads through `EndingService`. */
@Injectable()
export class SessionService {
  private readonly logouts: SharedWork<Logout, void>;

  constructor(
    private readonly unitOfWork: UnitOfWork,
    private readonly accounts: AccountsService,
    private readonly endings: EndingService,
    private readonly callers: SessionTokenVerifier,
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
      await tx.inOrder(
        () => this.endings.endWanted(tx, [device], 'logout'),
        () => this.callers.requireAlive(tx, requester),
      );
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
        () => this.endings.endAll(tx, userId, null, 'logout_all'),
        () => this.callers.requireAlive(tx, requester),
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
    const wanted = [...new Set(deviceIds)].map((deviceId) => ({ userId, deviceId }));
    // The caller's own device, too: two that delete each other wait for each other, and the second finds itself gone.
    const own = requester.device === null ? [] : [requester.device];
    await tx.inOrder(
      () => this.endings.endWanted(tx, wanted, 'device_deleted', own),
      () => this.callers.requireAlive(tx, requester),
    );
  }

  /**
   * Ends sessions of a user whom somebody else names.
   * @returns how many of the devices there were
   */
  endNamed(userId: string, deviceIds: readonly string[], origin?: Origin): Promise<number> {
    const wanted = [...new Set(deviceIds)].filter(isDeviceId).map((deviceId) => ({ userId, deviceId }));
    return this.unitOfWork.run(async (tx) => {
      if (origin !== undefined) recordOrigin(tx, origin);
      return this.endings.endWanted(tx, wanted, 'admin');
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
      () => this.endings.endAll(tx, userId, keptDeviceId, reason),
    );
  }
}

/** PostgreSQL broke a statement off, or the listeners were given up. */
function tookTooLong(error: unknown): boolean {
  return [...causesOf(error)].some(({ code, message }) => code === '57014' || /took too long/.test(message));
}
