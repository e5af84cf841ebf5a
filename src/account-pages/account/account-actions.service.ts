import { Injectable } from '@nestjs/common';
import { AccountManagementService } from '../../accounts/account/account-management.service.js';
import { PasswordsService } from '../../accounts/passwords.service.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { SessionService } from '../../session/session.service.js';
import type { Proven } from '../../uia/uia-stage.port.js';
import { BrowserSessions } from '../browser/browser-sessions.service.js';
import type { SignedInVisit } from '../visit.js';

/** Which sessions end. */
export type Ending =
  | { readonly mode: 'selected'; readonly deviceIds: readonly string[] }
  | { readonly mode: 'others'; readonly keptDeviceId: string }
  | { readonly mode: 'all' };

/** Carries out what people do to their account on its page, each in one commit with the check that they may. */
@Injectable()
export class AccountActions {
  constructor(
    private readonly sessions: SessionService,
    private readonly management: AccountManagementService,
    private readonly passwords: PasswordsService,
    private readonly browsers: BrowserSessions,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  /**
   * Ends sessions: tokens, devices and keys, in one commit. This browser stays signed in; other browsers are signed out
   * unless single sessions were selected.
   * @returns how many ended; `null` if nobody has counted
   */
  async end({ signedIn: { session }, origin }: SignedInVisit, ending: Ending): Promise<number | null> {
    const cause = { reason: 'account_page', origins: origin } as const;
    const { userId } = session;
    return this.unitOfWork.run(async (tx) => {
      if (ending.mode === 'selected') {
        await this.browsers.hold(tx, session);
        return this.sessions.endSome(tx, userId, ending.deviceIds, cause);
      }
      await this.browsers.lock(tx, session);
      this.browsers.keep(tx, session);
      const keptDeviceId = ending.mode === 'others' ? ending.keptDeviceId : null;
      await this.sessions.endOthers(tx, userId, keptDeviceId, cause);
      return null;
    });
  }

  /** Signs another browser out. */
  async endBrowser({ signedIn: { session }, origin }: SignedInVisit, sessionDigest: Buffer): Promise<void> {
    await this.unitOfWork.run(async (tx) => {
      // The whole account, because two browsers may end each other.
      await this.browsers.lock(tx, session);
      await this.browsers.end(tx, { userId: session.userId, sessionDigest }, origin);
    });
  }

  /**
   * Changes the password. This browser stays signed in.
   * @throws {MatrixError} `M_WEAK_PASSWORD`
   */
  async changePassword(
    { signedIn: { session }, origin, texts }: SignedInVisit,
    proven: Proven,
    change: { readonly password: string; readonly logoutDevices: boolean },
  ): Promise<void> {
    await this.passwords.requireStrong(change.password, session.userId, texts.language);
    const passwordHash = await this.passwords.hash(change.password);
    await this.unitOfWork.run(async (tx) => {
      await this.browsers.lock(tx, session);
      this.browsers.keep(tx, session);
      const { logoutDevices } = change;
      await this.management.changeProven(tx, proven, { passwordHash, logoutDevices }, origin);
    });
  }

  /** Gives up the account, and everything that it has. */
  async deactivate(
    { signedIn: { session }, origin }: SignedInVisit,
    proven: Proven,
    erase: boolean,
  ): Promise<void> {
    await this.unitOfWork.run(async (tx) => {
      await this.browsers.lock(tx, session);
      await this.management.deactivateProven(tx, proven, erase, origin);
    });
  }
}
