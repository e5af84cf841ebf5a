import { Injectable } from '@nestjs/common';
import type { Statement, Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { deviceColumns, type DeviceRef } from '../../events/devices-deleted.event.js';
import { WINDOW } from '../window.rules.js';
import { isInNetwork } from './network.rules.js';
import type { Exception, SessionFilter } from './session-filter.js';

/** A session, as administrators see it: a device, and who uses it. */
export interface AdminSession extends DeviceRef {
  readonly displayName: string | null;
  readonly createdAt: Date;
  readonly lastSeenAt: Date | null;
  readonly lastSeenIp: string | null;
  readonly lastSeenUserAgent: string | null;
  readonly kind: string;
  readonly clientId: string | null;
}

/** What a statement has looked at. */
export interface Window {
  /** With the place of each among those that were looked at. */
  readonly found: readonly (AdminSession & { readonly n: number })[];
  readonly lookedAt: number;
  /** Where the next statement goes on; `null` at the end. */
  readonly next: DeviceRef | null;
}

/** From the fourth value on: the conditions of a filter, but its address, which may be none. */
const MEETS = `
  NOT EXISTS (SELECT FROM ending_devices e WHERE e.user_id = d.user_id AND e.device_id = d.device_id)
  AND ($4::text IS NULL OR d.device_id = $4) AND ($5::text IS NULL OR r.oauth_client_id = $5)
  AND ($6::text IS NULL OR position(lower($6) IN lower(d.last_seen_user_agent)) > 0)
  AND ($7::timestamptz IS NULL OR GREATEST(d.last_seen_at, begun.at) < $7)
  AND ($8::timestamptz IS NULL OR begun.at < $8) AND ($9::text IS NULL OR a.kind = $9)
  AND ($12::timestamptz IS NULL OR begun.at < $12 AND (r.rotated_at < $12) IS NOT FALSE AND NOT EXISTS (
    SELECT FROM access_tokens t WHERE t.user_id = d.user_id AND t.device_id = d.device_id AND t.created_at >= $12))
  AND NOT EXISTS (SELECT FROM unnest($10::text[], $11::text[]) AS kept (user_id, device_id)
    WHERE kept.user_id = d.user_id AND (kept.device_id IS NULL OR kept.device_id = d.device_id))`;
const SESSION = `
  d.user_id AS "userId", d.device_id AS "deviceId", d.display_name AS "displayName", begun.at AS "createdAt",
  d.last_seen_at AS "lastSeenAt", d.last_seen_ip AS "lastSeenIp", d.last_seen_user_agent AS "lastSeenUserAgent",
  a.kind, r.oauth_client_id AS "clientId"`;
/** A later login on a device begins another session, while the device stays. */
const JOINED = `
  JOIN accounts a USING (user_id) LEFT JOIN refresh_tokens r USING (user_id, device_id)
  CROSS JOIN LATERAL (SELECT COALESCE((SELECT max(f.started_at) FROM session_families f
    WHERE f.user_id = d.user_id AND f.device_id = d.device_id), d.created_at) AS at) AS begun`;

/** Looks at no more devices than a window has, so that a rare condition does not make a long statement. */
const page = (name: string, whose: string): Statement => ({
  name,
  text: `
    WITH looked AS MATERIALIZED (
      SELECT *, row_number() OVER w AS n, lead(device_id) OVER w IS NULL AS is_last
      FROM (SELECT * FROM devices WHERE ${whose} ORDER BY user_id, device_id LIMIT $3) AS some_devices
      WINDOW w AS (ORDER BY user_id, device_id))
    SELECT ${SESSION}, d.n::int AS "n", d.is_last AS "isLast", met."isMet"
    FROM looked d ${JOINED} CROSS JOIN LATERAL (SELECT (${MEETS}) IS TRUE AS "isMet") AS met
    WHERE met."isMet" OR d.is_last
    ORDER BY d.n`,
});
const PAGE = page('admin_sessions_page', '(user_id, device_id) > ($1, $2)');
const PAGE_OF_USER = page('admin_sessions_page_of_user', 'user_id = $1 AND device_id > $2');
const STILL_MEETING: Statement = {
  name: 'admin_sessions_still_meeting',
  text: `
    SELECT d.user_id AS "userId", d.device_id AS "deviceId", d.last_seen_ip AS "lastSeenIp"
    FROM unnest($1::text[], $2::text[]) AS locked (user_id, device_id) JOIN devices d USING (user_id, device_id) ${JOINED}
    WHERE $3::int IS NULL AND ${MEETS}`,
};

const MISSING: Statement = {
  name: 'admin_sessions_missing',
  text: `
    SELECT e.user_id AS "userId", e.device_id AS "deviceId" FROM unnest($1::text[], $2::text[]) AS e (user_id, device_id)
    WHERE NOT EXISTS (SELECT FROM accounts a WHERE a.user_id = e.user_id) OR (e.device_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM devices d WHERE d.user_id = e.user_id AND d.device_id = e.device_id))
    LIMIT 1`,
};

interface Looked extends AdminSession {
  readonly n: number;
  readonly isLast: boolean;
  readonly isMet: boolean;
}

/** The SQL of sessions for administrators. It only reads. */
@Injectable()
export class AdminSessionsStore {
  constructor(private readonly unitOfWork: UnitOfWork) {}

  /**
   * Looks at the next devices behind one, in the order of users and devices.
   * @param size how many it looks at
   */
  async look(filter: SessionFilter, behind: DeviceRef | null, size = WINDOW): Promise<Window> {
    const isOfUser = filter.userId !== undefined;
    const from = isOfUser
      ? [filter.userId, behind?.deviceId ?? '']
      : [behind?.userId ?? '', behind?.deviceId ?? ''];
    const rows = await this.unitOfWork.query<Looked>(isOfUser ? PAGE_OF_USER : PAGE, [
      ...from,
      size,
      ...conditions(filter),
    ]);
    const last = rows.at(-1);
    return {
      found: rows.filter((row) => row.isMet && meetsAddress(row, filter)),
      lookedAt: last?.n ?? 0,
      next: last === undefined || last.n < size ? null : last,
    };
  }

  /** A user or session among these that does not exist; `null` if all do. */
  async missingOf(exceptions: readonly Exception[]): Promise<Exception | null> {
    const values = [exceptions.map((one) => one.userId), exceptions.map((one) => one.deviceId)];
    return (await this.unitOfWork.query<Exception>(MISSING, values))[0] ?? null;
  }

  /** Which of these devices, which are locked, still meet the conditions. */
  async stillMeeting(tx: Tx, filter: SessionFilter, locked: readonly DeviceRef[]): Promise<DeviceRef[]> {
    const values = [...deviceColumns(locked), null, ...conditions(filter)];
    const meeting = await tx.query<DeviceRef & Pick<AdminSession, 'lastSeenIp'>>(STILL_MEETING, values);
    return meeting.filter((device) => meetsAddress(device, filter));
  }
}

/** PostgreSQL would fail for a row whose address is none. */
function meetsAddress({ lastSeenIp }: Pick<AdminSession, 'lastSeenIp'>, { address }: SessionFilter): boolean {
  return address === undefined || isInNetwork(lastSeenIp, address);
}

function conditions(filter: SessionFilter): unknown[] {
  const { deviceId, clientId, userAgent, seenBefore, createdBefore, kind, except = [] } = filter;
  return [
    ...[deviceId, clientId, userAgent, seenBefore, createdBefore, kind].map((one) => one ?? null),
    except.map(({ userId }) => userId),
    except.map((one) => one.deviceId),
    filter.refreshedBefore ?? null,
  ];
}
