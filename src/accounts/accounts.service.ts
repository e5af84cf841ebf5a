import { Injectable } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import type { Tx } from '../database/tx.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { isNewLocalpart, localpartOf, serverNameOf, toUserId } from '../matrix/user-id.js';
import { PasswordHasher } from '../system/password-hasher.js';
import type { AccountEntity } from './account.entity.js';
import { AccountsStore } from './accounts.store.js';

/** Who exists, and what proves it. */
@Injectable()
export class AccountsService {
  constructor(
    private readonly store: AccountsStore,
    private readonly hasher: PasswordHasher,
    private readonly environment: Environment,
  ) {}

  /**
   * The user ID that a new account of this name would have.
   * @throws {MatrixError} `M_INVALID_USERNAME` or `M_USER_IN_USE`
   */
  async nameFor(username: string): Promise<string> {
    const localpart = username.toLowerCase();
    if (!isNewLocalpart(localpart, this.environment.serverName)) {
      throw new MatrixError(
        400,
        'M_INVALID_USERNAME',
        'A username holds a-z, 0-9 and ._=-/+ only, and the whole user ID 255 bytes at the most',
      );
    }
    const userId = toUserId(localpart, this.environment.serverName);
    if ((await this.store.find(userId)) !== null) throw inUse();
    return userId;
  }

  hashPassword(password: string): Promise<string> {
    return this.hasher.hash(password);
  }

  /**
   * Creates the account.
   * @param passwordHash from {@link hashPassword}; it is made outside the transaction because it takes its time
   * @throws {MatrixError} `M_USER_IN_USE` when somebody else was faster
   */
  async create(tx: Tx, userId: string, passwordHash: string | null): Promise<void> {
    const account = { userId, passwordHash, createdAt: tx.startedAt };
    if (!(await this.store.insert(tx, account))) throw inUse();
  }

  /**
   * The user whom name and password prove. Unknown users and wrong passwords take the same time and get the same answer.
   * @param user a full user ID or a localpart, in any letter case
   * @throws {MatrixError} `M_FORBIDDEN`
   */
  async verifyPassword(user: string, password: string): Promise<string> {
    const account = await this.find(user);
    const proven = await this.hasher.matches(account?.passwordHash ?? null, password);
    if (account === null || !proven) throw MatrixError.forbidden('Invalid username or password');
    return account.userId;
  }

  /** Keeps the account from being locked until the transaction ends; for what begins a session. */
  hold(tx: Tx, userId: string): Promise<boolean> {
    return this.store.hold(tx, userId);
  }

  /**
   * Waits for whoever holds the account and keeps others from holding it until the transaction ends; for what ends
   * every session of the user, so that none begins unseen meanwhile.
   */
  lock(tx: Tx, userId: string): Promise<boolean> {
    return this.store.lock(tx, userId);
  }

  /** User IDs of old may hold capitals, so the exact name goes first. */
  private async find(user: string): Promise<AccountEntity | null> {
    const { serverName } = this.environment;
    const userId = user.startsWith('@') ? user : toUserId(user, serverName);
    if (serverNameOf(userId) !== serverName) return null;
    return this.store.find(userId, toUserId(localpartOf(userId).toLowerCase(), serverName));
  }
}

function inUse(): MatrixError {
  return new MatrixError(400, 'M_USER_IN_USE', 'This username is taken');
}
