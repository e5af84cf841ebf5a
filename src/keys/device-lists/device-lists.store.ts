import { Injectable } from '@nestjs/common';
import type { Statement, Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { DeviceListChange } from '../../events/device-lists-changed.event.js';
import { type NewChange, numbered } from './device-lists.rules.js';

// Updating a user's row of device_lists locks it until the commit, so positions are committed in order. They start
// from the clock, so that positions of different users can be compared like times.
const RECORD: Statement = {
  name: 'device_lists_record',
  text: `
    WITH list AS (
      INSERT INTO device_lists AS l (user_id, position, device_position)
      SELECT user_id, $11::bigint + count, $11::bigint + last_linked
      FROM unnest($1::text[], $2::int[], $3::int[]) AS growing (user_id, count, last_linked)
      ON CONFLICT (user_id) DO UPDATE SET
        position = greatest(l.position, $11::bigint) + excluded.position - $11::bigint,
        device_position =
          coalesce(greatest(l.position, $11::bigint) + excluded.device_position - $11::bigint, l.device_position),
        previous_device_position = l.device_position
      RETURNING user_id, position, previous_device_position
    ), forgotten AS (
      DELETE FROM device_list_changes
      WHERE user_id = ANY (ARRAY(SELECT user_id FROM list)) AND position < $12::bigint
    )
    INSERT INTO device_list_changes (user_id, position, previous_position, change, device_id, signed_user_id)
    SELECT user_id, position - behind,
      CASE WHEN is_linked THEN coalesce(position - behind_previous, previous_device_position) END,
      change, device_id, signed_user_id
    FROM unnest($4::text[], $5::int[], $6::bool[], $7::int[], $8::text[], $9::text[], $10::text[])
      AS new (user_id, behind, is_linked, behind_previous, change, device_id, signed_user_id)
    JOIN list USING (user_id)
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
   * @param position the current time, as a position
   * @param forgetBefore changes of these users before this position are removed
   */
  record(
    tx: Tx,
    added: readonly NewChange[],
    position: number,
    forgetBefore: number,
  ): Promise<DeviceListChange[]> {
    const { lists, changes } = numbered(added);
    return tx.query<DeviceListChange>(RECORD, [
      lists.map(({ userId }) => userId),
      lists.map(({ count }) => count),
      lists.map(({ lastLinked }) => lastLinked),
      changes.map(({ userId }) => userId),
      changes.map(({ behind }) => behind),
      changes.map(({ isLinked }) => isLinked),
      changes.map(({ behindPrevious }) => behindPrevious),
      changes.map(({ change }) => change),
      changes.map(({ deviceId }) => deviceId ?? null),
      changes.map(({ signedUserId }) => signedUserId ?? null),
      position,
      forgetBefore,
    ]);
  }

  /**
   * Returns the users among `followed` whose lists changed between the two positions, and the users whom `userId`
   * signed in that span.
   */
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
