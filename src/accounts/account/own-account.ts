import { Injectable } from '@nestjs/common';
import type { Requester } from '../../auth/requester.js';
import { TokenVerifier } from '../../auth/token-verifier.port.js';
import type { Tx } from '../../database/tx.js';
import type { AccountEntity } from '../account.entity.js';
import { requireActive } from '../accounts.service.js';
import { AccountsStore } from '../accounts.store.js';

/** The account of the user who asks, while it is being changed. */
@Injectable()
export class OwnAccount {
  constructor(
    private readonly store: AccountsStore,
    private readonly callers: TokenVerifier,
  ) {}

  /**
   * Locks the account, if it may act and the calling session still exists.
   * @param userId the user who has proven who they are
   * @throws {MatrixError} as `requireActive` does; `M_UNKNOWN_TOKEN`
   */
  async lock(tx: Tx, userId: string | null, requester: Requester | null): Promise<AccountEntity> {
    const account = userId === null ? null : await this.store.lock(tx, userId);
    requireActive(account);
    if (requester !== null) await this.callers.requireAlive(tx, requester);
    return account;
  }

  async setPassword(tx: Tx, userId: string, passwordHash: string): Promise<void> {
    await this.store.setPassword(tx, userId, passwordHash);
  }

  async deactivate(tx: Tx, userId: string): Promise<void> {
    await this.store.deactivate(tx, userId);
  }
}
