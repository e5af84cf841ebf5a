import { Injectable } from '@nestjs/common';
import type { Statement } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { deviceColumns, type DeviceRef } from '../events/devices-deleted.event.js';

/** Tables whose rows hang on a device by a foreign key. Rows that name none belong to a user, or to nobody yet. */
export const HANGING_ON_DEVICES = [
  'access_tokens',
  'refresh_tokens',
  'login_tokens',
  'session_families',
  'device_keys',
  'one_time_keys',
  'fallback_keys',
  'key_signatures',
  'uia_sessions',
  'ending_devices',
] as const;
export type HangingTable = (typeof HANGING_ON_DEVICES)[number];

const LOOK = `
  WITH page AS MATERIALIZED (
    SELECT user_id, device_id FROM $table WHERE (user_id, device_id) > ($1, $2) AND device_id IS NOT NULL
    ORDER BY user_id, device_id LIMIT $3)
  SELECT DISTINCT page.user_id AS "userId", page.device_id AS "deviceId", d.user_id IS NULL AS wrong
  FROM page LEFT JOIN devices d USING (user_id, device_id) ORDER BY 1, 2`;
const REMOVE = `
  DELETE FROM $table t USING unnest($1::text[], $2::text[]) AS lost (user_id, device_id)
  WHERE t.user_id = lost.user_id AND t.device_id = lost.device_id
    AND NOT EXISTS (SELECT FROM devices d WHERE d.user_id = t.user_id AND d.device_id = t.device_id)
  RETURNING 1`;
const statements = (name: string, text: string) =>
  Object.fromEntries(
    HANGING_ON_DEVICES.map((table) => [
      table,
      { name: `reconciler_${name}_${table}`, text: text.replace('$table', table) },
    ]),
  ) as Record<HangingTable, Statement>;
const LOOK_AT = statements('look', LOOK);
const REMOVE_FROM = statements('remove', REMOVE);

// Devices that nobody used for long: whether somebody could sign in on them is for the session room to say.
const LOOK_AT_DEVICES: Statement = {
  name: 'reconciler_look_devices',
  text: `
    WITH page AS MATERIALIZED (
      SELECT user_id, device_id, created_at, last_seen_at FROM devices WHERE (user_id, device_id) > ($1, $2)
      ORDER BY user_id, device_id LIMIT $3)
    SELECT page.user_id AS "userId", page.device_id AS "deviceId",
      GREATEST(page.created_at, page.last_seen_at) < $4
        AND EXISTS (SELECT FROM accounts a WHERE a.user_id = page.user_id AND a.kind <> 'appservice') AS wrong
    FROM page ORDER BY 1, 2`,
};
// The first of each user and subscriber: later ones wait for it, and are not stuck by themselves.
const STUCK_EVENTS: Statement = {
  name: 'reconciler_stuck_events',
  text: `
    WITH late AS MATERIALIZED (
      SELECT user_id, subscriber, position, ordinal, event_id FROM event_deliveries
      WHERE state = 'pending' AND next_attempt_at < $1
      ORDER BY subscriber, next_attempt_at LIMIT $2)
    SELECT d.event_id AS "eventId", d.subscriber FROM late d WHERE NOT EXISTS (
      SELECT FROM event_deliveries earlier
      WHERE earlier.user_id = d.user_id AND earlier.subscriber = d.subscriber AND earlier.state = 'pending'
        AND (earlier.position, earlier.ordinal, earlier.event_id) < (d.position, d.ordinal, d.event_id))`,
};
const COUNT_DELIVERED: Statement = {
  name: 'reconciler_count_delivered',
  text: `
    SELECT count(*)::int AS count FROM unnest($1::text[], $2::text[]) AS looked (event_id, subscriber)
    JOIN event_deliveries d USING (event_id, subscriber) WHERE d.state = 'delivered'`,
};
// A little before its time, or a timer that is a moment early would let a whole interval pass. What is further away
// than an interval was set while the interval was longer.
const BEGIN_ROUND: Statement = {
  name: 'reconciler_begin_round',
  text: `
    INSERT INTO reconciler_rounds AS r (name, next_at, positions)
    VALUES ($1, $2::timestamptz + 0.9 * $3::bigint * interval '1 millisecond', '{}')
    ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at
    WHERE r.next_at <= $2 OR r.next_at > $2::timestamptz + $3::bigint * interval '1 millisecond'
    RETURNING positions`,
};
const KEEP_POSITIONS: Statement = {
  name: 'reconciler_keep_positions',
  text: 'UPDATE reconciler_rounds SET positions = $2 WHERE name = $1',
};

/** The last row that was looked at, by table; `null` at its end. */
export type Positions = Record<string, DeviceRef | null>;

/** An event that waits, and nothing before it does. */
export interface StuckEvent {
  readonly eventId: string;
  readonly subscriber: string;
}

/** A device that was looked at. */
interface Looked extends DeviceRef {
  readonly wrong: boolean;
}

/** The SQL of the reconciler; each statement looks at so many rows and no more. */
@Injectable()
export class ReconcilerStore {
  constructor(private readonly unitOfWork: UnitOfWork) {}

  look(table: HangingTable, { userId, deviceId }: DeviceRef, limit: number): Promise<Looked[]> {
    return this.unitOfWork.query(LOOK_AT[table], [userId, deviceId, limit]);
  }

  /** Deletes what hangs on devices that are not there, and says how many rows. */
  async remove(table: HangingTable, devices: readonly DeviceRef[]): Promise<number> {
    return (await this.unitOfWork.runOne(REMOVE_FROM[table], deviceColumns(devices))).length;
  }

  lookAtDevices({ userId, deviceId }: DeviceRef, limit: number, before: Date): Promise<Looked[]> {
    return this.unitOfWork.query(LOOK_AT_DEVICES, [userId, deviceId, limit, before]);
  }

  /** Events that have been due since `before`. */
  stuckEvents(before: Date, limit: number): Promise<StuckEvent[]> {
    return this.unitOfWork.query(STUCK_EVENTS, [before, limit]);
  }

  /** How many of them have been delivered. */
  async countDelivered(events: readonly StuckEvent[]): Promise<number> {
    const [row] = await this.unitOfWork.query<{ count: number }>(COUNT_DELIVERED, [
      events.map(({ eventId }) => eventId),
      events.map(({ subscriber }) => subscriber),
    ]);
    return row!.count;
  }

  /**
   * Where the round of this name goes on that is this node's to do now; `null`: a node had it less than an interval
   * ago.
   */
  async beginRound(name: string, now: Date, intervalMs: number): Promise<Positions | null> {
    const values = [name, now, intervalMs];
    const [round] = await this.unitOfWork.runOne<{ positions: Positions }>(BEGIN_ROUND, values);
    return round?.positions ?? null;
  }

  async keepPositions(name: string, positions: Positions): Promise<void> {
    await this.unitOfWork.runOne(KEEP_POSITIONS, [name, JSON.stringify(positions)]);
  }
}
