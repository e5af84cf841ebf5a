import { Injectable } from '@nestjs/common';
import { type Purge, purging } from '../database/housekeeping.js';
import type { PendingStatement, Statement } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import type { PagePosition } from '../admin-api/page.rules.js';
import type { AuditAction, AuditEntryEntity } from './audit-entry.entity.js';

const INSERT: Statement = {
  name: 'audit_insert',
  text: `
    INSERT INTO audit_entries (at, user_id, entry_id, action, reason, operation, device_id, actor, address, user_agent,
      client_id)
    SELECT $1, * FROM unnest
      ($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
        $11::text[])`,
};
// Users sometimes type their password into the name field, so the names of unknown users are not stored.
const INSERT_REFUSAL: Statement = {
  name: 'audit_insert_refusal',
  text: `
    INSERT INTO audit_entries (at, user_id, entry_id, action, reason, operation, device_id, actor, address, user_agent,
      client_id)
    SELECT $1, coalesce(a.user_id, ''), $3, $4, $5, $6, $7, $8, $9, $10, $11
    FROM (SELECT $2::text AS user_id) AS named LEFT JOIN accounts a USING (user_id)`,
};
const COLUMNS = `
  user_id AS "userId", at, entry_id AS "entryId", action, reason, operation, device_id AS "deviceId", actor, address,
  user_agent AS "userAgent", client_id AS "clientId"`;
// Two statements, so that each can read its own index backwards.
const LIST_OF_USER: Statement = {
  name: 'audit_list_of_user',
  text: `
    SELECT ${COLUMNS} FROM audit_entries
    WHERE user_id = $5 AND (at, entry_id) < ($1, $2) AND ($3::text IS NULL OR action = $3)
    ORDER BY at DESC, entry_id DESC LIMIT $4`,
};
const LIST: Statement = {
  name: 'audit_list',
  text: `
    SELECT ${COLUMNS} FROM audit_entries
    WHERE (at, entry_id) < ($1, $2) AND ($3::text IS NULL OR action = $3)
    ORDER BY at DESC, entry_id DESC LIMIT $4`,
};
// The action is a literal, because otherwise the planner could not use the partial index.
const LIST_REFUSED: Statement = {
  name: 'audit_list_refused',
  text: `
    SELECT ${COLUMNS} FROM audit_entries
    WHERE (at, entry_id) < ($1, $2) AND action = 'refused'
    ORDER BY at DESC, entry_id DESC LIMIT $3`,
};
/** An entry before it is written. */
export type NewAuditEntry = Omit<AuditEntryEntity, 'at'>;

const COLUMN_NAMES = [
  'userId',
  'entryId',
  'action',
  'reason',
  'operation',
  'deviceId',
  'actor',
  'address',
  'userAgent',
  'clientId',
] as const;

export interface AuditQuery {
  readonly userId: string | null;
  readonly action: AuditAction | null;
  readonly before: PagePosition;
  readonly limit: number;
}

@Injectable()
export class AuditStore {
  /** Deletes at most `limit` entries from before a time. */
  readonly purge: Purge;

  constructor(private readonly unitOfWork: UnitOfWork) {
    this.purge = purging(unitOfWork, 'audit_entries', 'at');
  }

  appending(at: Date, entries: readonly NewAuditEntry[]): PendingStatement {
    return { statement: INSERT, values: [at, ...columnsOf(entries)] };
  }

  /** Writes a refusal in its own transaction. Leaves out the name of a user who does not exist. */
  async appendRefusal(at: Date, entry: NewAuditEntry): Promise<void> {
    await this.unitOfWork.runOne(INSERT_REFUSAL, [at, ...COLUMN_NAMES.map((name) => entry[name])]);
  }

  /** Entries before `before`, newest first. */
  list({ userId, action, before, limit }: AuditQuery): Promise<AuditEntryEntity[]> {
    if (userId === null && action === 'refused')
      return this.unitOfWork.query(LIST_REFUSED, [before.at, before.id, limit]);
    const values = [before.at, before.id, action, limit];
    return userId === null
      ? this.unitOfWork.query(LIST, values)
      : this.unitOfWork.query(LIST_OF_USER, [...values, userId]);
  }
}

function columnsOf(entries: readonly NewAuditEntry[]): unknown[] {
  return COLUMN_NAMES.map((name) => entries.map((entry) => entry[name]));
}
