import { Injectable } from '@nestjs/common';
import { AccountsService } from '../accounts/accounts.service.js';
import type { Requester, RequesterDevice } from '../auth/requester.js';
import { type SharedWork, TookTooLong } from '../database/shared-work.js';
import type { Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import type { Origin } from '../matrix/client-origin.decorator.js';
import { causesOf } from '../system/outage.js';
import { type Cause, EndingService } from './ending/ending.service.js';
import { type Logout, LogoutTransaction } from './logout.transaction.js';
import { isDeviceId } from '../device-rows/device.rules.js';
import { SessionTokenVerifier } from './session-token.verifier.js';

/** Ends sessions, always through `EndingService`. */
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
   * Ends the requester's session: deletes the token, the device and everything that belongs to it in one commit. The
   * token of an application service belongs to no session, so only the device is deleted and the token stays.
   * Concurrent logouts share a transaction.
   * @throws {MatrixError} `M_UNKNOWN_TOKEN` if the session has ended in the meantime
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
    // The requester is an application service, or there is too much to delete in one commit.
    await this.unitOfWork.run(async (tx) => {
      const alongside = () => this.callers.requireAlive(tx, requester);
      await this.endings.endWanted(tx, [device], { reason: 'logout', origins: origin }, { alongside });
    });
  }

  /**
   * Ends every session of the requester's user, including the calling one, in one commit. A login that commits later
   * is not affected.
   * @throws {MatrixError} `M_UNKNOWN_TOKEN` if the session has ended in the meantime
   */
  async endAll(requester: Requester, origin: Origin): Promise<void> {
    await this.unitOfWork.run(async (tx) => {
      const { userId } = requester;
      // Once the account is locked, no new session can start unnoticed.
      await tx.inOrder(
        () => this.accounts.lock(tx, userId),
        () => this.endings.endAll(tx, userId, null, { reason: 'logout_all', origins: origin }),
        () => this.callers.requireAlive(tx, requester),
      );
    });
  }

  /**
   * Ends the sessions of some of the requester's devices, possibly including its own, and deletes the devices. Device
   * IDs that the user does not have, or no longer has, are ignored.
   * @throws {MatrixError} `M_UNKNOWN_TOKEN` if the requester's session has ended in the meantime
   */
  async endDevices(
    tx: Tx,
    requester: Requester,
    deviceIds: readonly string[],
    origin: Origin,
  ): Promise<void> {
    const { userId } = requester;
    const wanted = [...new Set(deviceIds)].map((deviceId) => ({ userId, deviceId }));
    // Lock the caller's own device too: if two devices delete each other, the second one waits and then finds itself
    // deleted.
    const own = requester.device === null ? [] : [requester.device];
    const alongside = () => this.callers.requireAlive(tx, requester);
    await this.endings.endWanted(
      tx,
      wanted,
      { reason: 'device_deleted', origins: origin },
      { held: own, alongside },
    );
  }

  /**
   * Ends sessions of a user on behalf of somebody else.
   * @param alongside called in the transaction, if any existed
   * @returns how many of the devices existed
   */
  endNamed(
    userId: string,
    deviceIds: readonly string[],
    origin: Origin | null = null,
    alongside: (tx: Tx) => void = () => {},
  ): Promise<number> {
    return this.unitOfWork.run(async (tx) => {
      const ended = await this.endSome(tx, userId, deviceIds, { reason: 'admin', origins: origin });
      if (ended > 0) alongside(tx);
      return ended;
    });
  }

  /** Same as {@link endNamed}, in a transaction and for any cause. */
  endSome(tx: Tx, userId: string, deviceIds: readonly string[], cause: Cause): Promise<number> {
    const wanted = [...new Set(deviceIds)].filter(isDeviceId).map((deviceId) => ({ userId, deviceId }));
    return this.endings.endWanted(tx, wanted, cause);
  }

  /** Ends every session of a user, except that of `keptDeviceId`, on behalf of somebody else. */
  endAllNamed(
    userId: string,
    keptDeviceId: string | null,
    origin: Origin | null = null,
    alongside: (tx: Tx) => void = () => {},
  ): Promise<void> {
    return this.unitOfWork.run((tx) => {
      alongside(tx);
      return this.endOthers(tx, userId, keptDeviceId, { reason: 'admin', origins: origin });
    });
  }

  /**
   * Ends every session of the user, except that of `keptDeviceId` if given, which also keeps its refresh token. All
   * login tokens are deleted, even those that the kept device requested.
   */
  async endOthers(tx: Tx, userId: string, keptDeviceId: string | null, cause: Cause): Promise<void> {
    await tx.inOrder(
      () => this.accounts.lock(tx, userId),
      () => this.endings.endAll(tx, userId, keptDeviceId, cause),
    );
  }
}

/** Whether PostgreSQL cancelled a statement, or something (such as the listeners) ran out of time. */
function tookTooLong(error: unknown): boolean {
  return [...causesOf(error)].some((one) => one.code === '57014' || one instanceof TookTooLong);
}
