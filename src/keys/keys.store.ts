import { Injectable } from '@nestjs/common';
import type { RequesterDevice } from '../auth/requester.js';
import type { Statement, Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { deviceColumns, type DeviceRef } from '../events/devices-deleted.event.js';
import type { Json, UploadedKey } from './keys.rules.js';

/** Identity keys with what `/keys/query` tells beside them. */
export interface FoundDeviceKeys extends DeviceRef {
  /** `null`: the user has no device with keys among those asked for. */
  readonly keys: Json | null;
  readonly displayName: string | null;
}

// The creation time tells the device of the request from a later one of the same ID.
const HOLD_DEVICE: Statement = {
  name: 'keys_hold_device',
  text: `
    SELECT device_id FROM devices WHERE user_id = $1 AND device_id = $2 AND created_at = $3
    FOR KEY SHARE`,
};
const PUT_DEVICE_KEYS: Statement = {
  name: 'keys_put_device_keys',
  text: `
    INSERT INTO device_keys (user_id, device_id, keys, uploaded_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (user_id, device_id) DO UPDATE SET keys = excluded.keys, uploaded_at = excluded.uploaded_at
    WHERE device_keys.keys <> excluded.keys`,
};
// Rows go in in one order, so that two uploads of the same keys wait for each other instead of deadlocking.
const ADD_ONE_TIME_KEYS: Statement = {
  name: 'keys_add_one_time_keys',
  text: `
    INSERT INTO one_time_keys (user_id, device_id, algorithm, key_id, key, uploaded_at)
    SELECT $1, $2, algorithm, key_id, key, $6
    FROM unnest($3::text[], $4::text[], $5::jsonb[]) AS uploaded (algorithm, key_id, key)
    ORDER BY algorithm, key_id
    ON CONFLICT DO NOTHING`,
};
const FIND_ONE_TIME_KEYS: Statement = {
  name: 'keys_find_one_time_keys',
  text: `
    SELECT k.algorithm, k.key_id AS "keyId", k.key
    FROM unnest($3::text[], $4::text[]) AS uploaded (algorithm, key_id)
    JOIN one_time_keys k ON k.user_id = $1 AND k.device_id = $2
      AND k.algorithm = uploaded.algorithm AND k.key_id = uploaded.key_id`,
};
const PUT_FALLBACK_KEYS: Statement = {
  name: 'keys_put_fallback_keys',
  text: `
    INSERT INTO fallback_keys (user_id, device_id, algorithm, key_id, key, used, uploaded_at)
    SELECT $1, $2, algorithm, key_id, key, false, $6
    FROM unnest($3::text[], $4::text[], $5::jsonb[]) AS uploaded (algorithm, key_id, key)
    ORDER BY algorithm
    ON CONFLICT (user_id, device_id, algorithm) DO UPDATE
      SET key_id = excluded.key_id, key = excluded.key, used = false, uploaded_at = excluded.uploaded_at
    WHERE fallback_keys.key_id <> excluded.key_id OR fallback_keys.key <> excluded.key`,
};
const COUNT_ONE_TIME_KEYS: Statement = {
  name: 'keys_count_one_time_keys',
  text: `
    SELECT algorithm, count(*)::int AS count FROM one_time_keys WHERE user_id = $1 AND device_id = $2
    GROUP BY algorithm`,
};
// A user without keys gives one row without device, which tells it from a user who does not exist.
const QUERY: Statement = {
  name: 'keys_query',
  text: `
    SELECT asked.user_id AS "userId", k.device_id AS "deviceId", k.keys, d.display_name AS "displayName"
    FROM unnest($1::text[]) AS asked (user_id)
    JOIN accounts a ON a.user_id = asked.user_id
    LEFT JOIN (device_keys k JOIN devices d USING (user_id, device_id)) ON k.user_id = asked.user_id`,
};
const DELETE_OF_DEVICES = ['device_keys', 'one_time_keys', 'fallback_keys'].map((table): Statement => ({
  name: `keys_delete_${table}`,
  text: `
      DELETE FROM ${table} k USING unnest($1::text[], $2::text[]) AS deleted (user_id, device_id)
      WHERE k.user_id = deleted.user_id AND k.device_id = deleted.device_id`,
}));

/** The SQL of keys. */
@Injectable()
export class KeysStore {
  constructor(private readonly unitOfWork: UnitOfWork) {}

  /** Keeps the device from being deleted until the transaction ends; `false` when it is gone already. */
  async holdDevice(tx: Tx, { userId, deviceId, createdAt }: RequesterDevice): Promise<boolean> {
    return (await tx.query(HOLD_DEVICE, [userId, deviceId, createdAt])).length === 1;
  }

  async putDeviceKeys(tx: Tx, { userId, deviceId }: DeviceRef, keys: Json): Promise<void> {
    await tx.query(PUT_DEVICE_KEYS, [userId, deviceId, JSON.stringify(keys), tx.startedAt]);
  }

  /** Adds the keys whose ID is free and gives what now stands under all of their IDs. */
  async addOneTimeKeys(tx: Tx, device: DeviceRef, keys: readonly UploadedKey[]): Promise<UploadedKey[]> {
    const values = keyColumns(device, keys);
    const [, stored] = await Promise.all([
      tx.query(ADD_ONE_TIME_KEYS, [...values, tx.startedAt]),
      tx.query<UploadedKey>(FIND_ONE_TIME_KEYS, values.slice(0, 4)),
    ]);
    return stored;
  }

  /** Replaces the fallback keys of these algorithms; a key that is there already keeps its mark of use. */
  async putFallbackKeys(tx: Tx, device: DeviceRef, keys: readonly UploadedKey[]): Promise<void> {
    await tx.query(PUT_FALLBACK_KEYS, [...keyColumns(device, keys), tx.startedAt]);
  }

  async countOneTimeKeys(tx: Tx, { userId, deviceId }: DeviceRef): Promise<Record<string, number>> {
    const rows = await tx.query<{ algorithm: string; count: number }>(COUNT_ONE_TIME_KEYS, [
      userId,
      deviceId,
    ]);
    return Object.fromEntries(rows.map(({ algorithm, count }) => [algorithm, count]));
  }

  /** The keyed devices of those of `userIds` who exist. */
  query(userIds: readonly string[]): Promise<FoundDeviceKeys[]> {
    return this.unitOfWork.query(QUERY, [userIds]);
  }

  async deleteOfDevices(tx: Tx, devices: readonly DeviceRef[]): Promise<void> {
    const columns = deviceColumns(devices);
    await Promise.all(DELETE_OF_DEVICES.map((statement) => tx.query(statement, columns)));
  }
}

function keyColumns({ userId, deviceId }: DeviceRef, keys: readonly UploadedKey[]): unknown[] {
  return [
    userId,
    deviceId,
    keys.map(({ algorithm }) => algorithm),
    keys.map(({ keyId }) => keyId),
    keys.map(({ key }) => JSON.stringify(key)),
  ];
}
