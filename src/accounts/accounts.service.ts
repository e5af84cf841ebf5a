import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Environment, EnvironmentError } from '../config/environment.js';
import type { Tx } from '../database/tx.js';
import { AccountRegistered } from '../events/account-registered.event.js';
import { AccountRestricted } from '../events/account-restricted.event.js';
import { EventBus } from '../events/event-bus.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { isNewLocalpart, localpartOf, serverNameOf, toUserId } from '../matrix/user-id.js';
import type { AccountEntity } from './account.entity.js';
import { PasswordVerifier } from './password-verifier.port.js';
import { AccountsStore, type NewAccount, type Restriction } from './accounts.store.js';

/** Who exists, and in what state. */
@Injectable()
export class AccountsService implements OnModuleInit {
  constructor(
    private readonly store: AccountsStore,
    private readonly environment: Environment,
    private readonly verifier: PasswordVerifier,
    private readonly events: EventBus,
  ) {}

  /** A database of another server name would strand its users, each of them half known. */
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
   * The user ID that a new account of this name would have. Application services may have names that people may not.
   * @throws {MatrixError} `M_INVALID_USERNAME` or `M_USER_IN_USE`
   */
  async nameFor(username: string, { isPersons }: { readonly isPersons: boolean }): Promise<string> {
    const localpart = username.toLowerCase();
    if (isPersons) requirePersonsName(localpart);
    if (!isNewLocalpart(localpart, this.environment.serverName)) {
      throw new MatrixError(
        400,
        'M_INVALID_USERNAME',
        'A username holds a-z, 0-9 and ._=-/+ only, and the whole user ID 255 bytes at the most',
      );
    }
    const userId = toUserId(localpart, this.environment.serverName);
    // A user whose password is kept elsewhere is one before their first login.
    if ((await this.store.find(userId)) !== null || (await this.verifier.keeps(userId))) throw inUse();
    return userId;
  }

  /**
   * Creates the account.
   * @throws {MatrixError} `M_USER_IN_USE` when somebody else was faster
   */
  async create(tx: Tx, account: NewAccount): Promise<void> {
    if (!(await this.insert(tx, account))) throw inUse();
  }

  /**
   * Makes a user of a guest, with everything the guest has.
   * @throws {MatrixError} `M_FORBIDDEN` when the guest is none any more
   */
  async upgradeGuest(tx: Tx, userId: string, passwordHash: string): Promise<void> {
    if (!(await this.store.upgradeGuest(tx, userId, passwordHash)))
      throw MatrixError.forbidden('This is no guest');
    await this.events.publish(tx, new AccountRegistered(userId, 'user', tx.startedAt.getTime()));
  }

  /**
   * Creates the account of an application service itself unless it is there; at the start, when nobody hears of it
   * yet.
   */
  async ensureSender(tx: Tx, userId: string): Promise<void> {
    await this.store.insert(tx, { userId, kind: 'appservice', passwordHash: null });
  }

  /**
   * Creates the account of a person unless it is there.
   * @throws {MatrixError} `M_INVALID_USERNAME` for a name that no new person may have
   */
  async ensure(tx: Tx, account: NewAccount): Promise<void> {
    if (await this.insert(tx, account)) requirePersonsName(localpartOf(account.userId));
  }

  /**
   * The account of a user of this server. User IDs of old may hold capitals, so the exact name goes first.
   * @param user a full user ID or a localpart, in any letter case
   */
  async find(user: string): Promise<AccountEntity | null> {
    const { serverName } = this.environment;
    const userId = user.startsWith('@') ? user : toUserId(user, serverName);
    if (serverNameOf(userId) !== serverName) return null;
    return this.store.find(userId, toUserId(localpartOf(userId).toLowerCase(), serverName));
  }

  /** Puts a new hash of the same password in the place of the old one; answers whether that was still there. */
  rehash(userId: string, old: string, fresh: string): Promise<boolean> {
    return this.store.rehash(userId, old, fresh);
  }

  /** The account of this very user ID. */
  findExactly(userId: string): Promise<AccountEntity | null> {
    return this.store.find(userId);
  }

  /** The user ID that a name stands for, whether or not there is such a user: full, and in lower case. */
  canonicalName(user: string): string {
    const { serverName } = this.environment;
    const localpart = user.startsWith('@') ? localpartOf(user) : user;
    const server = user.startsWith('@') ? serverNameOf(user) : serverName;
    return toUserId(localpart.toLowerCase(), server);
  }

  /** The user ID that a name stands for, when a user of this server could be called so. */
  localName(user: string): string | null {
    const userId = this.canonicalName(user);
    const { serverName } = this.environment;
    return serverNameOf(userId) === serverName && isNewLocalpart(localpartOf(userId), serverName)
      ? userId
      : null;
  }

  /**
   * Lets a user ID pass that somebody else vouches for.
   * @throws {MatrixError} `M_FORBIDDEN` when it is not the user ID, in lower case, of a user of this server
   */
  requireName(userId: string): string {
    if (this.localName(userId) !== userId)
      throw MatrixError.forbidden(`${userId} is not a user ID of this server in lower case`);
    return userId;
  }

  /** Keeps the account from being locked until the transaction ends; for what begins a session. */
  hold(tx: Tx, userId: string): Promise<AccountEntity | null> {
    return this.store.hold(tx, userId);
  }

  /** The same for several users. */
  async holdAll(tx: Tx, userIds: readonly string[]): Promise<ReadonlyMap<string, AccountEntity>> {
    const accounts = await this.store.holdAll(tx, userIds);
    return new Map(accounts.map((account) => [account.userId, account]));
  }

  /**
   * Waits for whoever holds the account and keeps others from holding it until the transaction ends; for what ends
   * every session of the user, so that none begins unseen meanwhile.
   */
  lock(tx: Tx, userId: string): Promise<AccountEntity | null> {
    return this.store.lock(tx, userId);
  }

  /** Locks or suspends, or lifts it; the second call changes nothing. */
  async restrict(tx: Tx, userId: string, restriction: Restriction, on: boolean): Promise<void> {
    if (await this.store.setRestriction(tx, userId, restriction, on)) {
      await this.events.publish(tx, new AccountRestricted(userId, restriction, on, tx.startedAt.getTime()));
    }
  }

  private async insert(tx: Tx, account: NewAccount): Promise<boolean> {
    const isNew = await this.store.insert(tx, account);
    const { userId, kind } = account;
    if (isNew) await this.events.publish(tx, new AccountRegistered(userId, kind, tx.startedAt.getTime()));
    return isNew;
  }
}

/**
 * Homeservers keep names of digits for guests, and those that begin with _ for bridges.
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
 * Lets pass who may get a token.
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
 * Lets pass whose password is still the one that was proven: it may have changed between the proof and the lock.
 * @param credential what the proof was held against; `null` when it was no password
 * @throws {MatrixError} `M_FORBIDDEN`
 */
export function requireUnchanged({ passwordHash }: AccountEntity, credential: string | null): void {
  if (credential !== null && passwordHash !== credential)
    throw MatrixError.forbidden('The password has changed meanwhile');
}

function inUse(): MatrixError {
  return new MatrixError(400, 'M_USER_IN_USE', 'This username is taken');
}
