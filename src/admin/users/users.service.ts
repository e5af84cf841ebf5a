import { Injectable } from '@nestjs/common';
import { AccountAdministration } from '../../accounts/account-administration.service.js';
import { AuditService } from '../../audit/audit.service.js';
import { Environment } from '../../config/environment.js';
import type { Tx } from '../../database/tx.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { Entropy } from '../../system/entropy.js';
import { requireWholeUserId } from '../../admin-api/server-admin.rules.js';
import { windowOf } from '../window.rules.js';
import type { UserFilter } from './user-filter.js';
import { type AdminUser, AdminUsersStore } from './users.store.js';

/** How many windows one request looks at: a list may be shorter than asked for and still go on. */
const MOST_WINDOWS = 20;
const PASSWORD_LENGTH = 20;
const PASSWORD_ALPHABET = 'ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789';

/** What an administrator's request comes from: its origin, with the actor, and why they end sessions. */
export type ActingOrigin = Origin & { readonly actor: string; readonly reason?: string | null };

/** A part of the list of users. */
export interface UserPage {
  readonly users: readonly AdminUser[];
  /** Where the list goes on; `null` at its end. */
  readonly next: string | null;
}

/** What administrators see of users and do to them. */
@Injectable()
export class AdminUsers {
  constructor(
    private readonly store: AdminUsersStore,
    private readonly administration: AccountAdministration,
    private readonly audit: AuditService,
    private readonly environment: Environment,
    private readonly entropy: Entropy,
  ) {}

  /** The next users behind one. A page may be short, even empty, although the list goes on. */
  async list(filter: UserFilter, behind: string, limit: number): Promise<UserPage> {
    const users: AdminUser[] = [];
    let next: string | null = behind;
    for (let nth = 0; nth < MOST_WINDOWS && next !== null && users.length < limit; nth += 1) {
      const window = await this.store.look(filter, next, windowOf(limit, nth));
      users.push(...window.found);
      if (users.length > limit) return { users: users.slice(0, limit), next: users[limit - 1]!.userId };
      ({ next } = window);
    }
    return { users, next };
  }

  /** @throws {MatrixError} `M_INVALID_PARAM` or `M_NOT_FOUND` */
  async get(userId: string): Promise<AdminUser> {
    const user = await this.store.find(requireWholeUserId(this.environment, userId));
    if (user === null) throw MatrixError.notFound('There is no such user');
    return { ...user, isAdmin: user.isAdmin || this.environment.serverAdmins.includes(user.userId) };
  }

  /**
   * Creates a user, whatever `REGISTRATION` says.
   * @throws {MatrixError} `M_INVALID_USERNAME`, `M_USER_IN_USE` or `M_WEAK_PASSWORD`
   */
  async create(
    wanted: { readonly username: string; readonly password: string | null; readonly isAdmin: boolean },
    origin: ActingOrigin,
  ): Promise<AdminUser> {
    const userId = await this.administration.create(wanted, origin, (tx, made) =>
      this.recordAdmin(tx, made, true, origin),
    );
    return this.get(userId);
  }

  /**
   * Sets a password.
   * @param password `null`: one is made up
   * @returns the password that was made up; `null` otherwise
   * @throws {MatrixError} `M_WEAK_PASSWORD`, `M_FORBIDDEN` or `M_NOT_FOUND`
   */
  async setPassword(
    userId: string,
    password: string | null,
    logoutDevices: boolean,
    { reason = null, ...origin }: ActingOrigin,
  ): Promise<string | null> {
    await this.get(userId);
    const fresh = password ?? this.makePassword();
    await this.administration.setPassword(userId, fresh, logoutDevices, origin, (tx) =>
      this.recordReason(tx, userId, reason, origin),
    );
    return password === null ? fresh : null;
  }

  /** Makes up a password that every policy should accept, of letters that are not taken for each other. */
  makePassword(): string {
    return this.entropy.text(PASSWORD_LENGTH, PASSWORD_ALPHABET);
  }

  /** @throws {MatrixError} `M_NOT_FOUND`; `M_FORBIDDEN` for administrators */
  async deactivate(
    userId: string,
    erase: boolean,
    { reason = null, ...origin }: ActingOrigin,
  ): Promise<void> {
    const { isAdmin } = await this.get(userId);
    if (isAdmin) throw MatrixError.forbidden('Administrators cannot be deactivated: take that back first');
    await this.administration.deactivate(userId, erase, origin, (tx) =>
      this.recordReason(tx, userId, reason, origin),
    );
  }

  /**
   * Makes a user an administrator, or takes it back. The second call changes nothing.
   * @throws {MatrixError} `M_NOT_FOUND`; `M_FORBIDDEN` for users that `SERVER_ADMINS` names, and for guests
   */
  async setAdmin(userId: string, isAdmin: boolean, origin: ActingOrigin): Promise<void> {
    await this.get(userId);
    if (!isAdmin && this.environment.serverAdmins.includes(userId))
      throw MatrixError.forbidden('SERVER_ADMINS names this user');
    await this.administration.setAdmin(userId, isAdmin, (tx) =>
      this.recordAdmin(tx, userId, isAdmin, origin),
    );
  }

  /** Records why an administrator ends the sessions of a user, if they say so. */
  recordReason(tx: Tx, userId: string, reason: string | null, origin: ActingOrigin): void {
    if (reason !== null) this.audit.record(tx, 'sessions_ending', [{ userId }], () => origin, { reason });
  }

  private recordAdmin(tx: Tx, userId: string, isAdmin: boolean, origin: ActingOrigin): void {
    this.audit.record(tx, isAdmin ? 'admin_granted' : 'admin_revoked', [{ userId }], () => origin);
  }
}
