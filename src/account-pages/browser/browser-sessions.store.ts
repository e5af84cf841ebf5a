import { Injectable } from '@nestjs/common';
import { type DeletingOld, deletingOld } from '../../database/housekeeping.js';
import type { Statement, Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { BrowserSessionEntity } from './browser-session.entity.js';

/** Which browser session. */
export type BrowserSessionRef = Pick<BrowserSessionEntity, 'userId' | 'sessionDigest'>;

const COLUMNS = `
  user_id AS "userId", session_digest AS "sessionDigest", created_at AS "createdAt",
  authenticated_at AS "authenticatedAt", seen_at AS "seenAt", expires_at AS "expiresAt", address,
  user_agent AS "userAgent"`;
const INSERT: Statement = {
  name: 'browser_insert',
  text: `
    INSERT INTO browser_sessions
      (user_id, session_digest, created_at, authenticated_at, seen_at, expires_at, address, user_agent)
    VALUES ($1, $2, $3, $3, $3, $4, $5, $6)`,
};
const FORGET_OLD: Statement = {
  name: 'browser_forget_old',
  text: `
    DELETE FROM browser_sessions WHERE user_id = $1 AND session_digest IN
      (SELECT session_digest FROM browser_sessions WHERE user_id = $1 ORDER BY created_at DESC OFFSET $2)`,
};
const FIND: Statement = {
  name: 'browser_find',
  text: `SELECT ${COLUMNS} FROM browser_sessions WHERE user_id = $1 AND session_digest = $2 AND expires_at > $3`,
};
const HOLD: Statement = {
  name: 'browser_hold',
  text: 'SELECT FROM browser_sessions WHERE user_id = $1 AND session_digest = $2 AND expires_at > $3 FOR KEY SHARE',
};
const LIST: Statement = {
  name: 'browser_list',
  text: `SELECT ${COLUMNS} FROM browser_sessions WHERE user_id = $1 AND expires_at > $2 ORDER BY seen_at DESC`,
};
const SEE: Statement = {
  name: 'browser_see',
  text: 'UPDATE browser_sessions SET seen_at = $3 WHERE user_id = $1 AND session_digest = $2',
};
const CONFIRM: Statement = {
  name: 'browser_confirm',
  text: 'UPDATE browser_sessions SET authenticated_at = $3 WHERE user_id = $1 AND session_digest = $2',
};
const DELETE: Statement = {
  name: 'browser_delete',
  text: 'DELETE FROM browser_sessions WHERE user_id = $1 AND session_digest = $2 RETURNING 1',
};
const DELETE_OTHERS: Statement = {
  name: 'browser_delete_others',
  text: 'DELETE FROM browser_sessions WHERE user_id = $1 AND session_digest IS DISTINCT FROM $2::bytea',
};

/** As many browsers as the account page can show. */
const MOST_SESSIONS = 100;

/** The SQL of browser sessions. */
@Injectable()
export class BrowserSessionsStore {
  /** Deletes those that were made before an instant, of all users but some. */
  readonly deleteOld: DeletingOld;

  constructor(private readonly unitOfWork: UnitOfWork) {
    this.deleteOld = deletingOld(unitOfWork, 'browser_sessions', { key: 'session_digest', at: 'created_at' });
  }

  async insert(
    tx: Tx,
    {
      userId,
      sessionDigest,
      expiresAt,
      address,
      userAgent,
    }: Omit<BrowserSessionEntity, `${string}At`> & {
      readonly expiresAt: Date;
    },
  ): Promise<void> {
    await tx.inOrder(
      () => tx.query(INSERT, [userId, sessionDigest, tx.startedAt, expiresAt, address, userAgent]),
      () => tx.query(FORGET_OLD, [userId, MOST_SESSIONS]),
    );
  }

  async find({ userId, sessionDigest }: BrowserSessionRef, now: Date): Promise<BrowserSessionEntity | null> {
    const [session] = await this.unitOfWork.query<BrowserSessionEntity>(FIND, [userId, sessionDigest, now]);
    return session ?? null;
  }

  /** Keeps the session from being deleted until the transaction ends; returns whether it exists. */
  async hold(tx: Tx, { userId, sessionDigest }: BrowserSessionRef): Promise<boolean> {
    return (await tx.query(HOLD, [userId, sessionDigest, tx.startedAt])).length === 1;
  }

  list(userId: string, now: Date): Promise<BrowserSessionEntity[]> {
    return this.unitOfWork.query(LIST, [userId, now]);
  }

  async see({ userId, sessionDigest }: BrowserSessionRef, now: Date): Promise<void> {
    await this.unitOfWork.runOne(SEE, [userId, sessionDigest, now]);
  }

  /** Records that the user has just proved who they are. */
  async confirm({ userId, sessionDigest }: BrowserSessionRef, now: Date): Promise<void> {
    await this.unitOfWork.runOne(CONFIRM, [userId, sessionDigest, now]);
  }

  /** Returns whether the session existed. */
  async delete(tx: Tx, { userId, sessionDigest }: BrowserSessionRef): Promise<boolean> {
    return (await tx.query(DELETE, [userId, sessionDigest])).length === 1;
  }

  /** Lets a session outlive {@link deleteAll} in this transaction. */
  keep(tx: Tx, { sessionDigest }: BrowserSessionRef): void {
    this.keptOf(tx).digest = sessionDigest;
  }

  /** Deletes every session of a user, but the one that is kept in this transaction. */
  async deleteAll(tx: Tx, userId: string): Promise<void> {
    await tx.query(DELETE_OTHERS, [userId, this.keptOf(tx).digest]);
  }

  private keptOf(tx: Tx): { digest: Buffer | null } {
    return tx.local(this, () => ({ digest: null as Buffer | null }));
  }
}
