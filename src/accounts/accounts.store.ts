import { Injectable } from '@nestjs/common';
import type { Statement, Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import type { AccountEntity } from './account.entity.js';

const INSERT: Statement = {
  name: 'accounts_insert',
  text: `
    INSERT INTO accounts (user_id, password_hash, created_at) VALUES ($1, $2, $3)
    ON CONFLICT (user_id) DO NOTHING
    RETURNING user_id`,
};
const FIND: Statement = {
  name: 'accounts_find',
  text: `
    SELECT user_id AS "userId", password_hash AS "passwordHash", created_at AS "createdAt"
    FROM accounts WHERE user_id IN ($1, $2) ORDER BY user_id = $1 DESC LIMIT 1`,
};
const HOLD: Statement = {
  name: 'accounts_hold',
  text: 'SELECT user_id FROM accounts WHERE user_id = $1 FOR SHARE',
};
const LOCK: Statement = {
  name: 'accounts_lock',
  text: 'SELECT user_id FROM accounts WHERE user_id = $1 FOR NO KEY UPDATE',
};

/** The SQL of accounts. */
@Injectable()
export class AccountsStore {
  constructor(private readonly unitOfWork: UnitOfWork) {}

  /** Answers whether the account is new. */
  async insert(tx: Tx, account: AccountEntity): Promise<boolean> {
    const rows = await tx.query(INSERT, [account.userId, account.passwordHash, account.createdAt]);
    return rows.length === 1;
  }

  /** The account of this exact user ID, or else the one of `otherwise`. */
  async find(userId: string, otherwise = userId): Promise<AccountEntity | null> {
    const [account] = await this.unitOfWork.query<AccountEntity>(FIND, [userId, otherwise]);
    return account ?? null;
  }

  /** Any number of transactions may hold an account; while they do, none can lock it. */
  async hold(tx: Tx, userId: string): Promise<boolean> {
    return (await tx.query(HOLD, [userId])).length === 1;
  }

  async lock(tx: Tx, userId: string): Promise<boolean> {
    return (await tx.query(LOCK, [userId])).length === 1;
  }
}
