import { Injectable } from '@nestjs/common';
import type { Statement, Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { deviceColumns, type DeviceRef } from '../events/devices-deleted.event.js';
import type { DeviceEntity } from './device.entity.js';

const COLUMNS = `user_id AS "userId", device_id AS "deviceId", display_name AS "displayName", created_at AS "createdAt"`;

const LIST: Statement = {
  name: 'devices_list',
  text: `SELECT ${COLUMNS} FROM devices WHERE user_id = $1 ORDER BY created_at, device_id`,
};
const FIND: Statement = {
  name: 'devices_find',
  text: `SELECT ${COLUMNS} FROM devices WHERE user_id = $1 AND device_id = $2`,
};
// The update changes nothing; it locks a device that is there, and waits for one that is just being deleted.
const ENSURE: Statement = {
  name: 'devices_ensure',
  text: `
    INSERT INTO devices (user_id, device_id, display_name, created_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (user_id, device_id) DO UPDATE SET display_name = devices.display_name`,
};
const DELETE: Statement = {
  name: 'devices_delete',
  text: `
    DELETE FROM devices d USING unnest($1::text[], $2::text[]) AS deleted (user_id, device_id)
    WHERE d.user_id = deleted.user_id AND d.device_id = deleted.device_id`,
};

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

  /** Makes the device unless it is there, and locks it until the transaction ends. */
  async ensure(tx: Tx, { userId, deviceId, displayName, createdAt }: DeviceEntity): Promise<void> {
    await tx.query(ENSURE, [userId, deviceId, displayName, createdAt]);
  }

  async delete(tx: Tx, devices: readonly DeviceRef[]): Promise<void> {
    await tx.query(DELETE, deviceColumns(devices));
  }
}
