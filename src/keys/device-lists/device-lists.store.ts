import { Injectable } from '@nestjs/common';
import type { Statement, Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { DeviceListChange, DeviceListChangeKind } from '../../events/device-lists-changed.event.js';

/** A change that has no position yet. */
export interface NewChange {
  readonly userId: string;
  readonly change: DeviceListChangeKind;
  readonly deviceId?: string;
  readonly signedUserId?: string;
}

// Whoever updates the user's row of device_lists holds it until the commit, so positions are committed in their order.
// They start from the clock, so that positions of different users can be compared as times can. Changes of devices are
// linked, each to the one before, past whatever other servers never see.
const RECORD: Statement = {
  name: 'device_lists_record',
  text: `
    WITH change AS (
      SELECT *, max(device_nth) OVER (PARTITION BY user_id ORDER BY nth ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        AS device_nth_before
      FROM (
        SELECT *, row_number() OVER by_user AS nth, count(*) OVER (PARTITION BY user_id) AS total,
          CASE WHEN change LIKE 'device\\_%' THEN row_number() OVER by_user END AS device_nth
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
          AS new (user_id, change, device_id, signed_user_id, n)
        WINDOW by_user AS (PARTITION BY user_id ORDER BY n)
      ) numbered
    ), list AS (
      INSERT INTO device_lists AS l (user_id, position, device_position)
      SELECT user_id, $5::bigint + max(nth), $5::bigint + max(device_nth) FROM change GROUP BY user_id ORDER BY user_id
      ON CONFLICT (user_id) DO UPDATE SET
        position = greatest(l.position, $5::bigint) + excluded.position - $5::bigint,
        device_position =
          coalesce(greatest(l.position, $5::bigint) + excluded.device_position - $5::bigint, l.device_position),
        previous_device_position = l.device_position
      RETURNING user_id, position, previous_device_position
    ), forgotten AS (
      DELETE FROM device_list_changes old USING list WHERE old.user_id = list.user_id AND old.position < $6::bigint
    )
    INSERT INTO device_list_changes (user_id, position, previous_position, change, device_id, signed_user_id)
    SELECT user_id, position - total + nth,
      CASE WHEN device_nth IS NOT NULL
        THEN coalesce(position - total + device_nth_before, previous_device_position) END,
      change, device_id, signed_user_id
    FROM change JOIN list USING (user_id)
    RETURNING user_id AS "userId", position::float8, previous_position::float8 AS "previousPosition", change,
      device_id AS "deviceId", signed_user_id AS "signedUserId"`,
};
const FIND_CHANGED: Statement = {
  name: 'device_lists_find_changed',
  text: `
    SELECT DISTINCT CASE c.user_id WHEN $1 THEN coalesce(c.signed_user_id, c.user_id) ELSE c.user_id END AS "userId"
    FROM unnest($2::text[]) AS followed (user_id) JOIN device_list_changes c USING (user_id)
    WHERE c.position > $3::bigint AND c.position <= $4::bigint
      AND (c.user_id = $1 OR c.change NOT IN ('user_signing_key', 'user_signed'))`,
};

/** The SQL of device-list changes. */
@Injectable()
export class DeviceListsStore {
  constructor(private readonly unitOfWork: UnitOfWork) {}

  /**
   * Appends changes to the lists of their users.
   * @param position where the clock stands
   * @param forgetBefore changes of these users before this position are removed
   */
  record(
    tx: Tx,
    changes: readonly NewChange[],
    position: number,
    forgetBefore: number,
  ): Promise<DeviceListChange[]> {
    return tx.query<DeviceListChange>(RECORD, [
      changes.map(({ userId }) => userId),
      changes.map(({ change }) => change),
      changes.map(({ deviceId }) => deviceId ?? null),
      changes.map(({ signedUserId }) => signedUserId ?? null),
      position,
      forgetBefore,
    ]);
  }

  /** Who of `followed`, or of those whom `userId` signed, has changed after one position and up to another. */
  async findChanged(
    userId: string,
    followed: readonly string[],
    after: number,
    upTo: number,
  ): Promise<string[]> {
    const rows = await this.unitOfWork.query<{ userId: string }>(FIND_CHANGED, [
      userId,
      followed,
      after,
      upTo,
    ]);
    return rows.map((row) => row.userId);
  }
}
