import { Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import type { AccountEntity } from '../accounts/account.entity.js';
import { AccountsService } from '../accounts/accounts.service.js';
import { AppserviceRegistry } from '../appservices/appservice-registry.js';
import type { Appservice } from '../appservices/appservice.js';
import type { Requester, RequesterDevice } from '../auth/requester.js';
import type { IdentityAssertion, Verdict } from '../auth/token-verifier.port.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { DeviceRows } from '../device-rows/device-rows.js';
import { MatrixError } from '../matrix/matrix-error.js';

/** Resolves which user an application service acts for ("Identity assertion"). */
@Injectable()
export class AppserviceVerifier implements OnApplicationBootstrap {
  constructor(
    private readonly registry: AppserviceRegistry,
    private readonly accounts: AccountsService,
    private readonly devices: DeviceRows,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  /** Creates the application services' own users at startup, because they need no registration. */
  async onApplicationBootstrap(): Promise<void> {
    const senders = this.registry.services.map(({ sender }) => sender).toSorted();
    if (senders.length === 0) return;
    await this.unitOfWork.run(async (tx) => {
      for (const userId of senders) await this.accounts.ensureSender(tx, userId);
    });
  }

  async verify(token: string, asserted: IdentityAssertion): Promise<Verdict> {
    const appservice = this.registry.find(token);
    if (appservice === null) return { kind: 'unknown', deviceLives: false };
    const account = await this.account(appservice, asserted.userId ?? appservice.sender);
    const { userId } = account;
    const device = await this.device(userId, asserted.deviceId);
    const requester: Requester = {
      userId,
      device,
      tokenExpiresAt: null,
      tokenDigest: null,
      isGuest: false,
      isAppservice: true,
      isOAuth: false,
      isLocked: account.lockedAt !== null,
      isSuspended: account.suspendedAt !== null,
      isAdmin: false,
    };
    return { kind: 'valid', requester };
  }

  /**
   * Finds the account of a user name, in any letter case: the spelling used for registration also works here and in
   * logins.
   */
  private async account(appservice: Appservice, user: string): Promise<AccountEntity> {
    const account = await this.accounts.find(user);
    if (!appservice.covers(account?.userId ?? this.accounts.canonicalName(user))) {
      throw MatrixError.forbidden('The application service may not act for this user');
    }
    if (account === null || account.deactivatedAt !== null) {
      throw MatrixError.forbidden('The application service has not registered this user');
    }
    return account;
  }

  private async device(userId: string, deviceId: string | undefined): Promise<RequesterDevice | null> {
    if (deviceId === undefined) return null;
    const createdAt = await this.devices.createdAt({ userId, deviceId });
    if (createdAt === null)
      throw new MatrixError(400, 'M_UNKNOWN_DEVICE', 'The user has no device of this ID');
    return { userId, deviceId, createdAt };
  }
}
