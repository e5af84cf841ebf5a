import { Injectable } from '@nestjs/common';
import type { Statement, Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { DeviceTables } from '../../device-rows/device-tables.js';
import { type DeletionReason, deviceColumns, type DeviceRef } from '../../events/devices-deleted.event.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import type { EndingDeviceEntity } from './ending-device.entity.js';

const MARK: Statement = {
  name: 'ending_mark',
  text: `
    INSERT INTO ending_devices (user_id, device_id, reason, origin)
    SELECT ended.user_id, ended.device_id, $3, $4 FROM unnest($1::text[], $2::text[]) AS ended (user_id, device_id)
    ORDER BY 1, 2
    ON CONFLICT DO NOTHING`,
};
const MARK_ALL: Statement = {
  name: 'ending_mark_all',
  text: `
    INSERT INTO ending_devices (user_id, device_id, reason, origin)
    SELECT user_id, device_id, $3, $4 FROM devices WHERE user_id = $1 AND device_id IS DISTINCT FROM $2
    ORDER BY user_id, device_id
    ON CONFLICT DO NOTHING`,
};
const COLUMNS = 'user_id AS "userId", device_id AS "deviceId", reason, origin';
const FIND: Statement = {
  name: 'ending_find',
  text: `SELECT ${COLUMNS} FROM ending_devices WHERE user_id = $1 AND device_id = $2`,
};
const FIND_ALL: Statement = {
  name: 'ending_find_all',
  text: `
    SELECT ${COLUMNS} FROM unnest($1::text[], $2::text[]) AS locked (user_id, device_id)
    JOIN ending_devices USING (user_id, device_id)`,
};
const FIRST: Statement = {
  name: 'ending_first',
  text: `
    SELECT ${COLUMNS} FROM ending_devices WHERE (user_id, device_id) > ($1, $2) ORDER BY user_id, device_id LIMIT $3`,
};

const COUNT: Statement = {
  name: 'ending_count',
  text: 'SELECT count(*)::int FROM (SELECT FROM ending_devices LIMIT $1) AS some_devices',
};

/** The SQL of devices that are ended in steps. */
@Injectable()
export class EndingStore {
  constructor(
    private readonly unitOfWork: UnitOfWork,
    tables: DeviceTables,
  ) {
    tables.register('ending_devices');
  }

  /** How many devices are marked, up to a number. */
  async count(most: number): Promise<number> {
    return (await this.unitOfWork.query<{ count: number }>(COUNT, [most]))[0]!.count;
  }

  /** Marks devices that the caller has locked. Existing marks stay. */
  async mark(
    tx: Tx,
    devices: readonly DeviceRef[],
    reason: DeletionReason,
    origin: Origin | null,
  ): Promise<void> {
    await tx.query(MARK, [...deviceColumns(devices), reason, origin]);
  }

  /** Marks every device of the user, except `keptDeviceId`. */
  async markAll(
    tx: Tx,
    userId: string,
    keptDeviceId: string | null,
    reason: DeletionReason,
    origin: Origin | null,
  ): Promise<void> {
    await tx.query(MARK_ALL, [userId, keptDeviceId, reason, origin]);
  }

  /** The mark of a device, if it has one. */
  async find(tx: Tx, { userId, deviceId }: DeviceRef): Promise<EndingDeviceEntity | null> {
    const [ending] = await tx.query<EndingDeviceEntity>(FIND, [userId, deviceId]);
    return ending ?? null;
  }

  /** Returns the marks of these devices. */
  findAll(tx: Tx, devices: readonly DeviceRef[]): Promise<EndingDeviceEntity[]> {
    return tx.query(FIND_ALL, deviceColumns(devices));
  }

  /** Returns the next marked devices after the given one. */
  first({ userId, deviceId }: DeviceRef, limit: number): Promise<EndingDeviceEntity[]> {
    return this.unitOfWork.query(FIRST, [userId, deviceId, limit]);
  }
}
