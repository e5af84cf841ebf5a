import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Environment, EnvironmentError } from '../config/environment.js';
import type { Tx } from '../database/tx.js';
import { AccountRegistered } from '../events/account-registered.event.js';
import { AccountRestricted } from '../events/account-restricted.event.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { EventBus } from '../events/event-bus.js';
import type { Origin } from '../matrix/client-origin.decorator.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { isNewLocalpart, localpartOf, serverNameOf, toUserId } from '../matrix/user-id.js';
import type { AccountEntity, AccountKind } from './account.entity.js';
import { PasswordVerifier } from './password-verifier.port.js';
import { AccountsStore, type ImportedAccount, type NewAccount, type Restriction } from './accounts.store.js';

/** Finds, creates, locks and restricts accounts. */
@Injectable()
export class AccountsService implements OnModuleInit {
  constructor(
    private readonly store: AccountsStore,
    private readonly environment: Environment,
    private readonly verifier: PasswordVerifier,
    private readonly events: EventBus,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  /** Refuses the database of another server name, whose users would be only partly usable. */
  async onModuleInit(): Promise<void> {
    const { serverName } = this.environment;
    const userId = await this.store.findAny();
    if (userId !== null && serverNameOf(userId) !== serverName) {
      throw new EnvironmentError([
        `SERVER_NAME must be ${serverNameOf(userId)}, not "${serverName}": the database holds users of that server`,
      ]);
    }
  }

  /**
   * Returns the user ID that a new account of this name would have. Application services may use names that people
   * may not.
   * @throws {MatrixError} `M_INVALID_USERNAME` or `M_USER_IN_USE`
   */
  async nameFor(username: string, { isPersons }: { readonly isPersons: boolean }): Promise<string> {
    const localpart = username.toLowerCase();
    if (isPersons) requirePersonsName(localpart);
    if (!isNewLocalpart(localpart, this.environment.serverName)) {
      throw new MatrixError(
        400,
        'M_INVALID_USERNAME',
        'A username may contain only a-z, 0-9 and ._=-/+, and the whole user ID at most 255 bytes',
      );
    }
    const userId = toUserId(localpart, this.environment.serverName);
    // A user whose password is kept elsewhere exists even before their first login.
    if ((await this.store.find(userId)) !== null || (await this.verifier.keeps(userId))) throw inUse();
    return userId;
  }

  /**
   * Creates the account.
   * @throws {MatrixError} `M_USER_IN_USE` if somebody else was faster
   */
  async create(tx: Tx, account: NewAccount, origin: Origin | null): Promise<void> {
    if (!(await this.insert(tx, account, origin))) throw inUse();
  }

  /**
   * Turns a guest into a user, who keeps everything that the guest had.
   * @throws {MatrixError} `M_FORBIDDEN` if the account is no longer a guest
   */
  async upgradeGuest(tx: Tx, userId: string, passwordHash: string, origin: Origin): Promise<void> {
    if (!(await this.store.upgradeGuest(tx, userId, passwordHash)))
      throw MatrixError.forbidden('This is no guest');
    await this.events.publish(tx, new AccountRegistered(userId, 'user', tx.startedAt.getTime()), origin);
  }

  /** Creates an application service's own account unless it exists. It runs at startup and publishes no event. */
  async ensureSender(tx: Tx, userId: string): Promise<void> {
    await this.store.insert(tx, { userId, kind: 'appservice', passwordHash: null });
  }

  /**
   * Creates the account of a person unless it exists.
   * @throws {MatrixError} `M_INVALID_USERNAME` for a name that no new person may have
   */
  async ensure(tx: Tx, account: NewAccount, origin: Origin | null): Promise<void> {
    if (await this.insert(tx, account, origin)) requirePersonsName(localpartOf(account.userId));
  }

  /** The same in a transaction of its own, for a person whose password is kept elsewhere. */
  ensurePerson(userId: string): Promise<void> {
    return this.unitOfWork.run((tx) => this.ensure(tx, { userId, kind: 'user', passwordHash: null }, null));
  }

  /**
   * Finds the account of a user of this server. Historical user IDs may contain capitals, so an exact match comes
   * first.
   * @param user a full user ID or a localpart, in any letter case
   */
  async find(user: string): Promise<AccountEntity | null> {
    const { serverName } = this.environment;
    const userId = user.startsWith('@') ? user : toUserId(user, serverName);
    if (serverNameOf(userId) !== serverName) return null;
    return this.store.find(userId, toUserId(localpartOf(userId).toLowerCase(), serverName));
  }

  /** Replaces the old hash with a new one of the same password; returns whether the old one was still there. */
  rehash(userId: string, old: string, fresh: string): Promise<boolean> {
    return this.store.rehash(userId, old, fresh);
  }

  /** Finds the account of exactly this user ID. */
  findExactly(userId: string): Promise<AccountEntity | null> {
    return this.store.find(userId);
  }

  /** Creates accounts of another server unless they exist, without events. Returns the user IDs of the new ones. */
  import(tx: Tx, accounts: readonly ImportedAccount[]): Promise<string[]> {
    return this.store.import(tx, accounts);
  }

  /** The kind of account of each of these users who has one. */
  async kindsOf(userIds: readonly string[]): Promise<ReadonlyMap<string, AccountKind>> {
    const found = await Promise.all(userIds.map((userId) => this.store.find(userId)));
    return new Map(found.flatMap((account) => (account === null ? [] : [[account.userId, account.kind]])));
  }

  /** The next accounts after a user ID, in their order, and whether they can be used. */
  page(behind: string, limit: number): Promise<{ userId: string; isActive: boolean }[]> {
    return this.store.page(behind, limit);
  }

  /** Returns the full user ID, in lower case, that a name stands for, whether or not there is such a user. */
  canonicalName(user: string): string {
    const { serverName } = this.environment;
    const localpart = user.startsWith('@') ? localpartOf(user) : user;
    const server = user.startsWith('@') ? serverNameOf(user) : serverName;
    return toUserId(localpart.toLowerCase(), server);
  }

  /** Returns the user ID that a name stands for; `null` if no user of this server can have it. */
  localName(user: string): string | null {
    const userId = this.canonicalName(user);
    const { serverName } = this.environment;
    return serverNameOf(userId) === serverName && isNewLocalpart(localpartOf(userId), serverName)
      ? userId
      : null;
  }

  /**
   * Checks a user ID that somebody else vouches for.
   * @throws {MatrixError} `M_FORBIDDEN` if it is not the user ID, in lower case, of a user of this server
   */
  requireName(userId: string): string {
    if (this.localName(userId) !== userId)
      throw MatrixError.forbidden(`${userId} is not a user ID of this server in lower case`);
    return userId;
  }

  /** Keeps the account from being locked until the transaction ends. Call it before starting a session. */
  hold(tx: Tx, userId: string): Promise<AccountEntity | null> {
    return this.store.hold(tx, userId);
  }

  /** Same as {@link hold}, for several users. */
  async holdAll(tx: Tx, userIds: readonly string[]): Promise<ReadonlyMap<string, AccountEntity>> {
    const accounts = await this.store.holdAll(tx, userIds);
    return new Map(accounts.map((account) => [account.userId, account]));
  }

  /**
   * Waits for transactions that hold the account, and keeps others from holding it until this one ends. Call it
   * before ending every session of the user, so that none starts unnoticed in the meantime.
   */
  lock(tx: Tx, userId: string): Promise<AccountEntity | null> {
    return this.store.lock(tx, userId);
  }

  /** Sets or lifts a restriction; the second call changes nothing. */
  async restrict(
    tx: Tx,
    userId: string,
    [restriction, on]: readonly [Restriction, boolean],
    origin: Origin,
  ): Promise<void> {
    if (await this.store.setRestriction(tx, userId, restriction, on)) {
      await this.events.publish(
        tx,
        new AccountRestricted(userId, restriction, on, tx.startedAt.getTime()),
        origin,
      );
    }
  }

  private async insert(tx: Tx, account: NewAccount, origin: Origin | null): Promise<boolean> {
    const isNew = await this.store.insert(tx, account);
    const { userId, kind } = account;
    if (isNew)
      await this.events.publish(tx, new AccountRegistered(userId, kind, tx.startedAt.getTime()), origin);
    return isNew;
  }
}

/**
 * Homeservers reserve names of digits for guests, and those that begin with _ for bridges.
 * @throws {MatrixError} `M_INVALID_USERNAME`
 */
function requirePersonsName(localpart: string): void {
  if (/^(?:\d+$|_)/.test(localpart)) {
    throw new MatrixError(
      400,
      'M_INVALID_USERNAME',
      'A username may not consist of digits only, or begin with _',
    );
  }
}

/** Whether the account may get a token. */
export function isActive(account: AccountEntity | null): account is AccountEntity {
  return account !== null && account.deactivatedAt === null && account.lockedAt === null;
}

/**
 * Checks that the account may get a token.
 * @throws {MatrixError} `M_FORBIDDEN`, `M_USER_DEACTIVATED` or `M_USER_LOCKED`
 */
export function requireActive(account: AccountEntity | null): asserts account is AccountEntity {
  if (account === null) throw MatrixError.forbidden('There is no such user');
  if (account.deactivatedAt !== null) {
    throw new MatrixError(403, 'M_USER_DEACTIVATED', 'This account has been deactivated');
  }
  if (account.lockedAt !== null) throw MatrixError.userLocked();
}

/**
 * Checks that the password is still the one that was proven: it may have changed between the proof and the lock.
 * @param credential the hash that the proof was checked against; `null` if it was no password
 * @throws {MatrixError} `M_FORBIDDEN`
 */
export function requireUnchanged({ passwordHash }: AccountEntity, credential: string | null): void {
  if (credential !== null && passwordHash !== credential)
    throw MatrixError.forbidden('The password has changed meanwhile');
}

function inUse(): MatrixError {
  return new MatrixError(400, 'M_USER_IN_USE', 'This username is taken');
}
