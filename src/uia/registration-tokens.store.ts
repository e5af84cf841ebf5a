import { Injectable } from '@nestjs/common';
import type { Statement, Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import type { RegistrationTokenEntity } from './registration-token.entity.js';

const COLUMNS = `
  token, uses_allowed AS "usesAllowed", used, expires_at AS "expiresAt", created_at AS "createdAt",
  created_by AS "createdBy"`;
const IS_GOOD = `(uses_allowed IS NULL OR used < uses_allowed) AND (expires_at IS NULL OR expires_at > $2)`;

const FIND_GOOD: Statement = {
  name: 'registration_tokens_find_good',
  text: `SELECT FROM registration_tokens WHERE token = $1 AND ${IS_GOOD}`,
};
const USE: Statement = {
  name: 'registration_tokens_use',
  text: `UPDATE registration_tokens SET used = used + 1 WHERE token = $1 AND ${IS_GOOD} RETURNING 1`,
};
const FIND: Statement = {
  name: 'registration_tokens_find',
  text: `SELECT ${COLUMNS} FROM registration_tokens WHERE token = $1`,
};
const LIST: Statement = {
  name: 'registration_tokens_list',
  text: `SELECT ${COLUMNS} FROM registration_tokens WHERE token > $1 ORDER BY token LIMIT $2`,
};
const INSERT: Statement = {
  name: 'registration_tokens_insert',
  text: `
    INSERT INTO registration_tokens (token, uses_allowed, expires_at, created_at, created_by)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING ${COLUMNS}`,
};
const CHANGE: Statement = {
  name: 'registration_tokens_change',
  text: `
    UPDATE registration_tokens SET uses_allowed = CASE WHEN $2 THEN $3::int ELSE uses_allowed END,
      expires_at = CASE WHEN $4 THEN $5::timestamptz ELSE expires_at END
    WHERE token = $1 RETURNING ${COLUMNS}`,
};
const DELETE: Statement = {
  name: 'registration_tokens_delete',
  text: 'DELETE FROM registration_tokens WHERE token = $1 RETURNING 1',
};

/** How a token may be used; `null`: without a limit. */
export interface TokenTerms {
  readonly usesAllowed: number | null;
  readonly expiresAt: Date | null;
}

/** The SQL of registration tokens. */
@Injectable()
export class RegistrationTokensStore {
  constructor(private readonly unitOfWork: UnitOfWork) {}

  async isGood(token: string, now: Date): Promise<boolean> {
    return (await this.unitOfWork.query(FIND_GOOD, [token, now])).length === 1;
  }

  /** Counts a use; returns whether the token was good for one. */
  async use(token: string, now: Date): Promise<boolean> {
    return (await this.unitOfWork.runOne(USE, [token, now])).length === 1;
  }

  /** The same, in a transaction. */
  async useIn(tx: Tx, token: string): Promise<boolean> {
    return (await tx.query(USE, [token, tx.startedAt])).length === 1;
  }

  async find(token: string): Promise<RegistrationTokenEntity | null> {
    return (await this.unitOfWork.query<RegistrationTokenEntity>(FIND, [token]))[0] ?? null;
  }

  /** The next tokens behind one, in their order. */
  list(behind: string, limit: number): Promise<RegistrationTokenEntity[]> {
    return this.unitOfWork.query(LIST, [behind, limit]);
  }

  /** `null` if the token exists. */
  async insert(
    tx: Tx,
    token: string,
    { usesAllowed, expiresAt }: TokenTerms,
    by: string,
  ): Promise<RegistrationTokenEntity | null> {
    const values = [token, usesAllowed, expiresAt, tx.startedAt, by];
    return (await tx.query<RegistrationTokenEntity>(INSERT, values))[0] ?? null;
  }

  /** Changes the terms that are given; `null` if there is no such token. */
  async change(
    tx: Tx,
    token: string,
    { usesAllowed, expiresAt }: Partial<TokenTerms>,
  ): Promise<RegistrationTokenEntity | null> {
    const values = [token, usesAllowed !== undefined, usesAllowed, expiresAt !== undefined, expiresAt];
    return (await tx.query<RegistrationTokenEntity>(CHANGE, values))[0] ?? null;
  }

  /** Returns whether there was such a token. */
  async delete(tx: Tx, token: string): Promise<boolean> {
    return (await tx.query(DELETE, [token])).length === 1;
  }
}
