import { Injectable } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import { accountPageOf } from '../config/oauth.js';
import type { Limits } from '../config/limits.js';
import type { Statement, Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { DeviceTables } from '../device-rows/device-tables.js';
import type { UiaSessionRef } from './uia-operation.js';
import type { UiaSessionEntity } from './uia-session.entity.js';

const INSERT: Statement = {
  name: 'uia_insert',
  text: `
    INSERT INTO uia_sessions
      (session_id, operation, user_id, device_id, parameters, completed, secret, proven, expires_at, is_on_page)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
};
const FORGET_OLD: Statement = {
  name: 'uia_forget_old',
  text: `
    DELETE FROM uia_sessions WHERE user_id = $1 AND device_id = $2 AND session_id IN
      (SELECT session_id FROM uia_sessions WHERE user_id = $1 AND device_id = $2 ORDER BY expires_at DESC OFFSET $3)`,
};
const FIND: Statement = {
  name: 'uia_find',
  text: `
    SELECT session_id AS "sessionId", operation, user_id AS "userId", device_id AS "deviceId", parameters, completed,
      secret, proven, result, is_on_page AS "isOnPage", expires_at AS "expiresAt"
    FROM uia_sessions WHERE user_id = $1 AND session_id = $2 AND expires_at > $3`,
};
const FIND_WAITING: Statement = {
  name: 'uia_find_waiting',
  text: `
    SELECT session_id AS "sessionId", operation, user_id AS "userId", device_id AS "deviceId", parameters, completed,
      secret, proven, result, is_on_page AS "isOnPage", expires_at AS "expiresAt"
    FROM uia_sessions WHERE user_id = $1 AND operation = $2 AND is_on_page AND result IS NULL AND expires_at > $3
    ORDER BY expires_at DESC`,
};
const FIND_BY_ID: Statement = {
  name: 'uia_find_by_id',
  text: FIND.text.replace(
    'user_id = $1 AND session_id = $2 AND expires_at > $3',
    'session_id = $1 AND expires_at > $2',
  ),
};
const LOCK: Statement = { name: 'uia_lock', text: `${FIND.text} FOR UPDATE` };
const COMPLETE: Statement = {
  name: 'uia_complete',
  text: 'UPDATE uia_sessions SET completed = $3, proven = $4, expires_at = $5 WHERE user_id = $1 AND session_id = $2',
};
const FINISH: Statement = {
  name: 'uia_finish',
  text: 'UPDATE uia_sessions SET result = $3, parameters = $4 WHERE user_id = $1 AND session_id = $2',
};
const IS_KNOWN: Statement = {
  name: 'uia_is_known',
  text: 'SELECT FROM uia_sessions WHERE session_id = $1 AND expires_at > $2',
};

/** The SQL of user-interactive authentication. */
@Injectable()
export class UiaStore {
  constructor(
    private readonly unitOfWork: UnitOfWork,
    private readonly environment: Environment,
    tables: DeviceTables,
  ) {
    tables.register('uia_sessions');
  }

  get limits(): Limits {
    return this.environment.limits;
  }

  /** @see accountPageOf */
  accountPageOf(action: string): string | null {
    return accountPageOf(this.environment.oauth, action);
  }

  /** Inserts a session and deletes the device's oldest ones beyond the limit. */
  async insert(tx: Tx, session: UiaSessionEntity): Promise<void> {
    const { sessionId, operation, userId, deviceId, parameters, completed, secret, proven } = session;
    const json = [JSON.stringify(parameters), JSON.stringify(completed)];
    const values = [
      sessionId,
      operation,
      userId,
      deviceId,
      ...json,
      secret,
      proven,
      session.expiresAt,
      session.isOnPage,
    ];
    await tx.inOrder(
      () => tx.query(INSERT, values),
      () => tx.query(FORGET_OLD, [userId, deviceId, this.limits.challenges]),
    );
  }

  /** The session, unless it has expired. */
  async find(userId: string, sessionId: string, now: Date): Promise<UiaSessionEntity | null> {
    const [session] = await this.unitOfWork.query<UiaSessionEntity>(FIND, [userId, sessionId, now]);
    return session ?? null;
  }

  /** The sessions for this call that wait for the user on a page, or were approved there; the newest first. */
  findWaiting(userId: string, operation: string, now: Date): Promise<UiaSessionEntity[]> {
    return this.unitOfWork.query(FIND_WAITING, [userId, operation, now]);
  }

  /** The session of this ID, whoever has opened it. */
  async findById(sessionId: string, now: Date): Promise<UiaSessionEntity | null> {
    const [session] = await this.unitOfWork.query<UiaSessionEntity>(FIND_BY_ID, [sessionId, now]);
    return session ?? null;
  }

  /** Whether a session that was not found with a user exists with another one. */
  async isOfSomebodyElse(sessionId: string, now: Date): Promise<boolean> {
    return (await this.unitOfWork.query(IS_KNOWN, [sessionId, now])).length > 0;
  }

  /** The session, locked, so that two answers to one challenge cannot both succeed; `null` if it has expired. */
  async lock(tx: Tx, { userId, sessionId }: UiaSessionRef): Promise<UiaSessionEntity | null> {
    const [session] = await tx.query<UiaSessionEntity>(LOCK, [userId, sessionId, tx.startedAt]);
    return session ?? null;
  }

  /** Stores the completed stages and whose identity they have proven. */
  async complete(tx: Tx, session: UiaSessionEntity): Promise<void> {
    const { userId, sessionId, completed, proven, expiresAt } = session;
    await tx.query(COMPLETE, [userId, sessionId, JSON.stringify(completed), proven, expiresAt]);
  }

  /** Stores the result of the call and its effective parameters. */
  async finish(
    tx: Tx,
    { userId, sessionId }: UiaSessionRef,
    result: UiaSessionEntity['result'],
    parameters: object,
  ): Promise<void> {
    await tx.query(FINISH, [userId, sessionId, result, JSON.stringify(parameters)]);
  }
}
