import { Injectable } from '@nestjs/common';
import type { AccountEntity } from '../accounts/account.entity.js';
import { AccountsService } from '../accounts/accounts.service.js';
import type { Restriction } from '../accounts/accounts.store.js';
import type { Requester } from '../auth/requester.js';
import { requireServerAdmin } from '../auth/server-admin.rules.js';
import { Environment } from '../config/environment.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { serverNameOf } from '../matrix/user-id.js';

/** What administrators may do to other users ("Account moderation"). */
@Injectable()
export class AdminService {
  constructor(
    private readonly accounts: AccountsService,
    private readonly unitOfWork: UnitOfWork,
    private readonly environment: Environment,
  ) {}

  /** @throws {MatrixError} `M_FORBIDDEN`, `M_INVALID_PARAM` or `M_NOT_FOUND` */
  async is(restriction: Restriction, requester: Requester, userId: string): Promise<boolean> {
    requireServerAdmin(this.environment, requester);
    const account = await this.target(userId);
    if (account.userId !== requester.userId && this.environment.serverAdmins.includes(account.userId)) {
      throw MatrixError.forbidden('This user is an administrator');
    }
    return (restriction === 'locked' ? account.lockedAt : account.suspendedAt) !== null;
  }

  /**
   * Sets or lifts a restriction; the second call changes nothing.
   * @throws {MatrixError} `M_FORBIDDEN`, `M_INVALID_PARAM` or `M_NOT_FOUND`
   */
  async set(restriction: Restriction, on: boolean, requester: Requester, userId: string): Promise<void> {
    requireServerAdmin(this.environment, requester);
    const { userId: target } = await this.target(userId);
    // Covers the caller, too: who locks themselves out cannot come back and lift it.
    if (this.environment.serverAdmins.includes(target)) {
      throw MatrixError.forbidden('Administrators cannot be locked or suspended');
    }
    await this.unitOfWork.run((tx) => this.accounts.restrict(tx, target, restriction, on));
  }

  private async target(userId: string): Promise<AccountEntity> {
    if (!userId.startsWith('@') || serverNameOf(userId) !== this.environment.serverName) {
      throw MatrixError.invalidParam('The user does not belong to this server');
    }
    const account = await this.accounts.find(userId);
    if (account === null || account.deactivatedAt !== null)
      throw MatrixError.notFound('There is no such user');
    return account;
  }
}
