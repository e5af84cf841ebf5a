import { Injectable } from '@nestjs/common';
import type { SharedWork } from '../database/shared-work.js';
import type { Statement, Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { type HashSettings, settingsOf } from '../system/password-hasher.js';
import type { AccountEntity, AccountKind } from './account.entity.js';

const COLUMNS = `
  user_id AS "userId", password_hash AS "passwordHash", kind, created_at AS "createdAt",
  deactivated_at AS "deactivatedAt", locked_at AS "lockedAt", suspended_at AS "suspendedAt", is_admin AS "isAdmin"`;

const INSERT: Statement = {
  name: 'accounts_insert',
  text: `
    INSERT INTO accounts (user_id, password_hash, kind, created_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (user_id) DO NOTHING
    RETURNING user_id`,
};
const IMPORT: Statement = {
  name: 'accounts_import',
  text: `
    INSERT INTO accounts (user_id, password_hash, kind, created_at, deactivated_at, locked_at, suspended_at)
    SELECT i.user_id, i.password_hash, i.kind, i.created_at, CASE WHEN i.is_deactivated THEN $8::timestamptz END,
      CASE WHEN i.is_locked THEN $8::timestamptz END, CASE WHEN i.is_suspended THEN $8::timestamptz END
    FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::boolean[], $6::boolean[], $7::boolean[])
      AS i (user_id, password_hash, kind, created_at, is_deactivated, is_locked, is_suspended)
    ON CONFLICT (user_id) DO NOTHING
    RETURNING user_id AS "userId"`,
};
const FIND: Statement = {
  name: 'accounts_find',
  text: `SELECT ${COLUMNS} FROM accounts WHERE user_id = ANY ($1::text[])`,
};
const FIND_ANY: Statement = {
  name: 'accounts_find_any',
  text: 'SELECT user_id AS "userId" FROM accounts LIMIT 1',
};
const HOLD: Statement = {
  name: 'accounts_hold',
  text: `SELECT ${COLUMNS} FROM accounts WHERE user_id = $1 FOR SHARE`,
};
const HOLD_ALL: Statement = {
  name: 'accounts_hold_all',
  text: `SELECT ${COLUMNS} FROM accounts WHERE user_id = ANY ($1) ORDER BY user_id FOR SHARE`,
};
const LOCK: Statement = {
  name: 'accounts_lock',
  text: `SELECT ${COLUMNS} FROM accounts WHERE user_id = $1 FOR NO KEY UPDATE`,
};
const SET_PASSWORD: Statement = {
  name: 'accounts_set_password',
  text: 'UPDATE accounts SET password_hash = $2 WHERE user_id = $1',
};
const REHASH: Statement = {
  name: 'accounts_rehash',
  text: 'UPDATE accounts SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2 RETURNING user_id',
};
// Only the beginning of the hash is read: it holds the settings that the hash was made with.
const HASH_SETTINGS: Statement = {
  name: 'accounts_hash_settings',
  text: `
    SELECT made || '$' AS made FROM (
      SELECT substring(password_hash FROM '^\\$argon2id\\$v=19\\$[^$]+') AS made FROM (
        SELECT password_hash FROM accounts WHERE user_id > $1 ORDER BY user_id LIMIT 1000) AS some_accounts) AS hashes
    WHERE made IS NOT NULL GROUP BY made ORDER BY count(*) DESC LIMIT 1`,
};
const UPGRADE_GUEST: Statement = {
  name: 'accounts_upgrade_guest',
  text: `
    UPDATE accounts SET kind = 'user', password_hash = $2
    WHERE user_id = $1 AND kind = 'guest' AND deactivated_at IS NULL
    RETURNING user_id`,
};
const PAGE: Statement = {
  name: 'accounts_page',
  text: `
    SELECT user_id AS "userId", deactivated_at IS NULL AS "isActive" FROM accounts WHERE user_id > $1
    ORDER BY user_id LIMIT $2`,
};
const DEACTIVATE: Statement = {
  name: 'accounts_deactivate',
  text: `
    UPDATE accounts SET password_hash = NULL, deactivated_at = $2, is_admin = false WHERE user_id = $1`,
};
const SET_RESTRICTION = {
  locked: {
    name: 'accounts_set_locked',
    text: `
      UPDATE accounts SET locked_at = CASE WHEN $2 THEN $3::timestamptz END
      WHERE user_id = $1 AND (locked_at IS NOT NULL) <> $2 RETURNING user_id`,
  },
  suspended: {
    name: 'accounts_set_suspended',
    text: `
      UPDATE accounts SET suspended_at = CASE WHEN $2 THEN $3::timestamptz END
      WHERE user_id = $1 AND (suspended_at IS NOT NULL) <> $2 RETURNING user_id`,
  },
} satisfies Record<string, Statement>;

const SET_ADMIN: Statement = {
  name: 'accounts_set_admin',
  text: 'UPDATE accounts SET is_admin = $2 WHERE user_id = $1 AND is_admin <> $2 RETURNING user_id',
};

/** A restriction that an administrator may set on an account and lift again. */
export type Restriction = keyof typeof SET_RESTRICTION;

/** An account to create. */
export interface NewAccount {
  readonly userId: string;
  readonly kind: AccountKind;
  readonly passwordHash: string | null;
}

/** An account of another server. */
export interface ImportedAccount extends NewAccount {
  readonly createdAt: Date;
  readonly isDeactivated: boolean;
  readonly isLocked: boolean;
  readonly isSuspended: boolean;
}

interface LookUp {
  readonly userId: string;
  readonly otherwise: string;
}

/** The SQL of accounts. */
@Injectable()
export class AccountsStore {
  private readonly lookUps: SharedWork<LookUp, AccountEntity | null>;

  constructor(private readonly unitOfWork: UnitOfWork) {
    this.lookUps = unitOfWork.shareLookUps(
      { name: 'accounts', userOf: ({ userId }) => userId },
      (lookUps: readonly LookUp[]) => this.findTogether(lookUps),
    );
  }

  /** Returns whether the account is new. */
  async insert(tx: Tx, { userId, passwordHash, kind }: NewAccount): Promise<boolean> {
    const rows = await tx.query(INSERT, [userId, passwordHash, kind, tx.startedAt]);
    return rows.length === 1;
  }

  /** Creates accounts unless they exist. Returns the user IDs of the new ones. */
  async import(tx: Tx, accounts: readonly ImportedAccount[]): Promise<string[]> {
    const column = <Key extends keyof ImportedAccount>(key: Key) => accounts.map((account) => account[key]);
    const columns = [
      column('userId'),
      column('passwordHash'),
      column('kind'),
      column('createdAt'),
      column('isDeactivated'),
      column('isLocked'),
      column('isSuspended'),
    ];
    const rows = await tx.query<{ userId: string }>(IMPORT, [...columns, tx.startedAt]);
    return rows.map(({ userId }) => userId);
  }

  /** The account of this exact user ID, or else that of `otherwise`. Concurrent look-ups share a statement. */
  find(userId: string, otherwise = userId): Promise<AccountEntity | null> {
    return this.lookUps.together({ userId, otherwise });
  }

  /** The user ID of some account, if there is one. */
  async findAny(): Promise<string | null> {
    const [account] = await this.unitOfWork.query<{ userId: string }>(FIND_ANY);
    return account?.userId ?? null;
  }

  /** The next accounts after a name, in the order of user IDs. */
  page(behind: string, limit: number): Promise<{ userId: string; isActive: boolean }[]> {
    return this.unitOfWork.query(PAGE, [behind, limit]);
  }

  /** Any number of transactions may hold an account; while they do, none can lock it. */
  async hold(tx: Tx, userId: string): Promise<AccountEntity | null> {
    const [account] = await tx.query<AccountEntity>(HOLD, [userId]);
    return account ?? null;
  }

  /** Holds several accounts, in the order of their user IDs. */
  holdAll(tx: Tx, userIds: readonly string[]): Promise<AccountEntity[]> {
    return tx.query<AccountEntity>(HOLD_ALL, [userIds]);
  }

  async lock(tx: Tx, userId: string): Promise<AccountEntity | null> {
    const [account] = await tx.query<AccountEntity>(LOCK, [userId]);
    return account ?? null;
  }

  async setPassword(tx: Tx, userId: string, passwordHash: string): Promise<void> {
    await tx.query(SET_PASSWORD, [userId, passwordHash]);
  }

  /** Replaces the old hash with a new one of the same password; returns whether the old one was still there. */
  async rehash(userId: string, old: string, fresh: string): Promise<boolean> {
    return (await this.unitOfWork.runOne(REHASH, [userId, old, fresh])).length === 1;
  }

  /** The settings that most of the thousand accounts after a name were hashed with; `null` if none has a hash. */
  async commonHashSettings(behind: string): Promise<HashSettings | null> {
    const [row] = await this.unitOfWork.query<{ made: string }>(HASH_SETTINGS, [behind]);
    return row === undefined ? null : settingsOf(row.made);
  }

  /** Returns whether there was such a guest. */
  async upgradeGuest(tx: Tx, userId: string, passwordHash: string): Promise<boolean> {
    return (await tx.query(UPGRADE_GUEST, [userId, passwordHash])).length === 1;
  }

  async deactivate(tx: Tx, userId: string): Promise<void> {
    await tx.query(DEACTIVATE, [userId, tx.startedAt]);
  }

  /** Returns whether that changed anything. */
  async setRestriction(tx: Tx, userId: string, restriction: Restriction, on: boolean): Promise<boolean> {
    return (await tx.query(SET_RESTRICTION[restriction], [userId, on, tx.startedAt])).length > 0;
  }

  /** Returns whether that changed anything. */
  async setAdmin(tx: Tx, userId: string, isAdmin: boolean): Promise<boolean> {
    return (await tx.query(SET_ADMIN, [userId, isAdmin])).length > 0;
  }

  private async findTogether(lookUps: readonly LookUp[]): Promise<(AccountEntity | null)[]> {
    const names = new Set(lookUps.flatMap(({ userId, otherwise }) => [userId, otherwise]));
    const accounts = await this.unitOfWork.query<AccountEntity>(FIND, [[...names]]);
    const found = new Map(accounts.map((account) => [account.userId, account]));
    return lookUps.map(({ userId, otherwise }) => found.get(userId) ?? found.get(otherwise) ?? null);
  }
}
