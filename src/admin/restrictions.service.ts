import { Injectable } from '@nestjs/common';
import type { AccountEntity } from '../accounts/account.entity.js';
import { AccountsService } from '../accounts/accounts.service.js';
import type { Restriction } from '../accounts/accounts.store.js';
import type { Requester } from '../auth/requester.js';
import { isServerAdmin, requireWholeUserId } from '../admin-api/server-admin.rules.js';
import { Environment } from '../config/environment.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import type { Origin } from '../matrix/client-origin.decorator.js';
import { MatrixError } from '../matrix/matrix-error.js';

/** What administrators may do to other users ("Account moderation"). */
@Injectable()
export class RestrictionsService {
  constructor(
    private readonly accounts: AccountsService,
    private readonly unitOfWork: UnitOfWork,
    private readonly environment: Environment,
  ) {}

  /** @throws {MatrixError} `M_FORBIDDEN`, `M_INVALID_PARAM` or `M_NOT_FOUND` */
  async is(restriction: Restriction, requester: Requester, userId: string): Promise<boolean> {
    const account = await this.target(userId);
    if (account.userId !== requester.userId && isServerAdmin(this.environment, account)) {
      throw MatrixError.forbidden('This user is an administrator');
    }
    return (restriction === 'locked' ? account.lockedAt : account.suspendedAt) !== null;
  }

  /**
   * Sets or lifts a restriction. A second call changes nothing.
   * @throws {MatrixError} `M_FORBIDDEN`, `M_INVALID_PARAM` or `M_NOT_FOUND`
   */
  async set(
    restriction: Restriction,
    on: boolean,
    requester: Requester,
    userId: string,
    origin: Origin,
  ): Promise<void> {
    const account = await this.target(userId);
    // This includes the caller: administrators who lock themselves out could not lift it again.
    if (isServerAdmin(this.environment, account)) {
      throw MatrixError.forbidden('Administrators cannot be locked or suspended');
    }
    const by = { ...origin, actor: requester.userId };
    await this.unitOfWork.run((tx) => this.accounts.restrict(tx, account.userId, [restriction, on], by));
  }

  private async target(userId: string): Promise<AccountEntity> {
    const account = await this.accounts.findExactly(requireWholeUserId(this.environment, userId));
    if (account === null || account.deactivatedAt !== null)
      throw MatrixError.notFound('There is no such user');
    return account;
  }
}
