import { Injectable } from '@nestjs/common';
import type { Statement } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { UserFilter } from './user-filter.js';

/** A user, as administrators see them. */
export interface AdminUser {
  readonly userId: string;
  readonly kind: string;
  readonly createdAt: Date;
  readonly deactivatedAt: Date | null;
  readonly lockedAt: Date | null;
  readonly suspendedAt: Date | null;
  readonly isAdmin: boolean;
  readonly hasPassword: boolean;
  readonly devices: number;
  /** When any device was last seen. */
  readonly lastSeenAt: Date | null;
}

/** What a statement has looked at. */
export interface Window {
  readonly found: readonly AdminUser[];
  /** Where the next statement goes on; `null` at the end. */
  readonly next: string | null;
}

const USER = `
  a.user_id AS "userId", a.kind, a.created_at AS "createdAt", a.deactivated_at AS "deactivatedAt",
  a.locked_at AS "lockedAt", a.suspended_at AS "suspendedAt", a.is_admin AS "isAdmin",
  a.password_hash IS NOT NULL AS "hasPassword", seen.devices, seen.at AS "lastSeenAt"`;
const SEEN = `
  LATERAL (SELECT count(*)::int AS devices, max(last_seen_at) AS at FROM devices d WHERE d.user_id = a.user_id) AS seen`;
const PAGE: Statement = {
  name: 'admin_users_page',
  text: `
    WITH looked AS MATERIALIZED (
      SELECT *, row_number() OVER w AS n, lead(user_id) OVER w IS NULL AS is_last
      FROM (SELECT * FROM accounts WHERE user_id > $1 ORDER BY user_id LIMIT $2) AS some_accounts
      WINDOW w AS (ORDER BY user_id)),
    met AS MATERIALIZED (
      SELECT *, (
        ($3::text IS NULL OR position(lower($3) IN lower(user_id)) > 0)
        AND ($4::text IS NULL OR kind = $4) AND ($5::boolean IS NULL OR (is_admin OR user_id = ANY ($11::text[])) = $5)
        AND ($6::text IS NULL OR CASE $6
          WHEN 'deactivated' THEN deactivated_at IS NOT NULL WHEN 'locked' THEN locked_at IS NOT NULL
          WHEN 'suspended' THEN suspended_at IS NOT NULL
          ELSE deactivated_at IS NULL AND locked_at IS NULL AND suspended_at IS NULL END)
        AND ($7::timestamptz IS NULL OR created_at < $7) AND ($8::timestamptz IS NULL OR created_at >= $8)
      ) AS is_met FROM looked)
    SELECT ${USER}, a.n::int AS n, a.is_last AS "isLast", (a.is_met
      AND ($9::timestamptz IS NULL OR COALESCE(seen.at, a.created_at) < $9)
      AND ($10::timestamptz IS NULL OR seen.at >= $10)) IS TRUE AS "isMet"
    FROM met a CROSS JOIN ${SEEN} WHERE a.is_met OR a.is_last ORDER BY a.n`,
};
const FIND: Statement = {
  name: 'admin_users_find',
  text: `SELECT ${USER} FROM accounts a CROSS JOIN ${SEEN} WHERE a.user_id = $1`,
};

interface Looked extends AdminUser {
  readonly n: number;
  readonly isLast: boolean;
  readonly isMet: boolean;
}

/** The SQL of users for administrators. It only reads. */
@Injectable()
export class AdminUsersStore {
  constructor(private readonly unitOfWork: UnitOfWork) {}

  /** Looks at the next accounts behind one, in the order of user IDs. */
  async look(filter: UserFilter, behind: string, size: number): Promise<Window> {
    const { search, kind, admin, state, createdBefore, createdAfter, seenBefore, seenAfter } = filter;
    const conditions = [search, kind, admin, state, createdBefore, createdAfter, seenBefore, seenAfter];
    const rows = await this.unitOfWork.query<Looked>(PAGE, [
      behind,
      size,
      ...conditions.map((one) => one ?? null),
      filter.serverAdmins,
    ]);
    const last = rows.at(-1);
    return {
      found: rows.filter(({ isMet }) => isMet),
      next: last === undefined || last.n < size ? null : last.userId,
    };
  }

  async find(userId: string): Promise<AdminUser | null> {
    return (await this.unitOfWork.query<AdminUser>(FIND, [userId]))[0] ?? null;
  }
}
