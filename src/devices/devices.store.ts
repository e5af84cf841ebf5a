import { Injectable } from '@nestjs/common';
import type { Statement, Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { deviceColumns, type DeviceRef } from '../events/devices-deleted.event.js';
import type { DeviceEntity } from './device.entity.js';

const COLUMNS = `
  user_id AS "userId", device_id AS "deviceId", display_name AS "displayName", created_at AS "createdAt",
  last_seen_at AS "lastSeenAt", last_seen_ip AS "lastSeenIp", last_seen_user_agent AS "lastSeenUserAgent"`;

const LIST: Statement = {
  name: 'devices_list',
  text: `SELECT ${COLUMNS} FROM devices WHERE user_id = $1 ORDER BY created_at, device_id`,
};
const FIND: Statement = {
  name: 'devices_find',
  text: `SELECT ${COLUMNS} FROM devices WHERE user_id = $1 AND device_id = $2`,
};
const LOCK: Statement = { name: 'devices_lock', text: `${FIND.text} FOR NO KEY UPDATE` };
// The update changes nothing; it locks a device that is there, and waits for one that is just being deleted. A row that
// was inserted has no earlier version that a transaction could have locked.
const ENSURE: Statement = {
  name: 'devices_ensure',
  text: `
    INSERT INTO devices (user_id, device_id, display_name, created_at)
    SELECT $1, $2, $3, $4 WHERE EXISTS (SELECT FROM devices WHERE user_id = $1 AND device_id = $2)
      OR (SELECT count(*) FROM (SELECT FROM devices WHERE user_id = $1 LIMIT $5) AS known) < $5
    ON CONFLICT (user_id, device_id) DO UPDATE SET display_name = devices.display_name
    RETURNING xmax = 0 AS "isNew"`,
};
const RENAME: Statement = {
  name: 'devices_rename',
  text: 'UPDATE devices SET display_name = $3 WHERE user_id = $1 AND device_id = $2',
};
// A device that somebody holds is passed over: it is logging in or going, and this can wait.
const SEE: Statement = {
  name: 'devices_see',
  text: `
    UPDATE devices d SET last_seen_at = s.at, last_seen_ip = s.ip, last_seen_user_agent = s.user_agent
    FROM (
      SELECT d.user_id, d.device_id, seen.at, seen.ip, seen.user_agent
      FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[])
        AS seen (user_id, device_id, created_at, at, ip, user_agent)
      JOIN devices d USING (user_id, device_id, created_at)
      WHERE d.last_seen_at IS NULL OR d.last_seen_at < seen.at
      FOR NO KEY UPDATE OF d SKIP LOCKED
    ) s
    WHERE d.user_id = s.user_id AND d.device_id = s.device_id
    RETURNING d.user_id AS "userId", d.device_id AS "deviceId"`,
};
const DELETE: Statement = {
  name: 'devices_delete',
  text: `
    DELETE FROM devices d USING unnest($1::text[], $2::text[]) AS deleted (user_id, device_id)
    WHERE d.user_id = deleted.user_id AND d.device_id = deleted.device_id`,
};

/** When and from where a device made a request. */
export interface Sighting extends DeviceRef {
  readonly createdAt: Date;
  readonly at: Date;
  readonly ip: string;
  readonly userAgent: string | null;
}

/** The SQL of devices. */
@Injectable()
export class DevicesStore {
  constructor(private readonly unitOfWork: UnitOfWork) {}

  list(userId: string): Promise<DeviceEntity[]> {
    return this.unitOfWork.query(LIST, [userId]);
  }

  async find({ userId, deviceId }: DeviceRef): Promise<DeviceEntity | null> {
    const [device] = await this.unitOfWork.query<DeviceEntity>(FIND, [userId, deviceId]);
    return device ?? null;
  }

  /** The device, which nobody else changes or deletes until the transaction ends. */
  async lock(tx: Tx, { userId, deviceId }: DeviceRef): Promise<DeviceEntity | null> {
    const [device] = await tx.query<DeviceEntity>(LOCK, [userId, deviceId]);
    return device ?? null;
  }

  /**
   * Makes the device unless it is there, and locks it until the transaction ends; answers whether it is new, and
   * `null` when the user has `most` already. Some made at the same time may come on top.
   */
  async ensure(
    tx: Tx,
    { userId, deviceId }: DeviceRef,
    displayName: string | null,
    most: number,
  ): Promise<boolean | null> {
    const values = [userId, deviceId, displayName, tx.startedAt, most];
    const [device] = await tx.query<{ isNew: boolean }>(ENSURE, values);
    return device?.isNew ?? null;
  }

  async rename(tx: Tx, { userId, deviceId }: DeviceRef, displayName: string): Promise<void> {
    await tx.query(RENAME, [userId, deviceId, displayName]);
  }

  /**
   * Writes down when devices were seen: never backwards, and never on a younger device of the same ID. Gives those that
   * were written; others are gone, or held by somebody.
   */
  see(tx: Tx, sightings: readonly Sighting[]): Promise<DeviceRef[]> {
    return tx.query<DeviceRef>(SEE, [
      ...deviceColumns(sightings),
      sightings.map(({ createdAt }) => createdAt),
      sightings.map(({ at }) => at),
      sightings.map(({ ip }) => ip),
      sightings.map(({ userAgent }) => userAgent),
    ]);
  }

  async delete(tx: Tx, devices: readonly DeviceRef[]): Promise<void> {
    await tx.query(DELETE, deviceColumns(devices));
  }
}
