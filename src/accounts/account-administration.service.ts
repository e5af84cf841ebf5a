import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { AccountDeactivated } from '../events/account-deactivated.event.js';
import { EventBus } from '../events/event-bus.js';
import { PasswordChanged } from '../events/password-changed.event.js';
import type { Origin } from '../matrix/client-origin.decorator.js';
import { MatrixError } from '../matrix/matrix-error.js';
import type { AccountEntity } from './account.entity.js';
import { AccountsService } from './accounts.service.js';
import { AccountsStore } from './accounts.store.js';
import { PasswordsService } from './passwords.service.js';

/** An account that an administrator makes. */
export interface AdministeredAccount {
  readonly username: string;
  /** `null`: nobody can log in until a password is set. */
  readonly password: string | null;
  readonly isAdmin: boolean;
}

/** What administrators may do to an account. Who they are is checked before. */
@Injectable()
export class AccountAdministration {
  constructor(
    private readonly accounts: AccountsService,
    private readonly store: AccountsStore,
    private readonly passwords: PasswordsService,
    private readonly events: EventBus,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  /**
   * Creates an account of a person, whatever `REGISTRATION` says. Returns the user ID.
   * @param whenAdmin called in the transaction that makes an administrator
   * @throws {MatrixError} `M_INVALID_USERNAME`, `M_USER_IN_USE` or `M_WEAK_PASSWORD`
   */
  async create(
    { username, password, isAdmin }: AdministeredAccount,
    origin: Origin,
    whenAdmin: (tx: Tx, userId: string) => void,
  ): Promise<string> {
    const userId = await this.accounts.nameFor(username, { isPersons: true });
    const passwordHash = password === null ? null : await this.hashOf(password, userId);
    await this.unitOfWork.run(async (tx) => {
      await this.accounts.create(tx, { userId, kind: 'user', passwordHash }, origin);
      if (!isAdmin) return;
      await this.store.setAdmin(tx, userId, true);
      whenAdmin(tx, userId);
    });
    return userId;
  }

  /**
   * Sets a password. Sessions stay only if `logoutDevices` is false.
   * @param alongside called in the transaction
   * @throws {MatrixError} `M_WEAK_PASSWORD`; `M_FORBIDDEN` if the password is kept elsewhere; `M_NOT_FOUND`
   */
  async setPassword(
    userId: string,
    password: string,
    logoutDevices: boolean,
    origin: Origin,
    alongside: (tx: Tx) => void,
  ): Promise<void> {
    await this.passwords.requireKeptHere(userId);
    const passwordHash = await this.hashOf(password, userId);
    await this.unitOfWork.run(async (tx) => {
      const { kind } = await this.lock(tx, userId);
      if (kind !== 'user') throw MatrixError.forbidden('Only people have passwords');
      alongside(tx);
      await this.store.setPassword(tx, userId, passwordHash);
      const changed = new PasswordChanged(userId, logoutDevices, null, tx.startedAt.getTime());
      await this.events.publish(tx, changed, origin);
    });
  }

  /**
   * Deactivates an account for good: every session ends in the same commit, and the name stays taken.
   * @param alongside called in the transaction
   * @throws {MatrixError} `M_NOT_FOUND`, also if it is deactivated already
   */
  async deactivate(
    userId: string,
    erase: boolean,
    origin: Origin,
    alongside: (tx: Tx) => void,
  ): Promise<void> {
    await this.unitOfWork.run(async (tx) => {
      await this.lock(tx, userId);
      alongside(tx);
      await this.store.deactivate(tx, userId);
      await this.events.publish(tx, new AccountDeactivated(userId, erase, tx.startedAt.getTime()), origin);
    });
  }

  /**
   * Makes a user an administrator, or takes it back. Returns whether that changed anything.
   * @param alongside called in the transaction of a change
   * @throws {MatrixError} `M_NOT_FOUND`; `M_FORBIDDEN` for anybody but people
   */
  async setAdmin(userId: string, isAdmin: boolean, alongside: (tx: Tx) => void): Promise<boolean> {
    return this.unitOfWork.run(async (tx) => {
      const { kind } = await this.lock(tx, userId);
      if (kind !== 'user') throw MatrixError.forbidden('Only people can be administrators');
      const isChanged = await this.store.setAdmin(tx, userId, isAdmin);
      if (isChanged) alongside(tx);
      return isChanged;
    });
  }

  private async hashOf(password: string, userId: string): Promise<string> {
    await this.passwords.requireStrong(password, userId);
    return this.passwords.hash(password);
  }

  private async lock(tx: Tx, userId: string): Promise<AccountEntity> {
    const account = await this.accounts.lock(tx, userId);
    if (account === null || account.deactivatedAt !== null)
      throw MatrixError.notFound('There is no such user');
    return account;
  }
}
