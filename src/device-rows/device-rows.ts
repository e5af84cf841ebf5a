import { Injectable } from '@nestjs/common';
import type { Statement, Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import type { RequesterDevice } from '../auth/requester.js';
import { Environment } from '../config/environment.js';
import { type DeletedDevice, deviceColumns, type DeviceRef } from '../events/devices-deleted.event.js';
import { BeyondLimit, MatrixError } from '../matrix/matrix-error.js';
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
const FIND_FOR_CHANGE: Statement = {
  name: 'devices_find_for_change',
  text: `${FIND.text} FOR NO KEY UPDATE`,
};
const CREATED_AT: Statement = {
  name: 'devices_created_at',
  text: 'SELECT created_at AS "createdAt" FROM devices WHERE user_id = $1 AND device_id = $2',
};
const FIND_NAMED: Statement = {
  name: 'devices_find_named',
  text: 'SELECT device_id AS "deviceId" FROM devices WHERE user_id = $1 AND device_id = ANY ($2::text[])',
};
const PAGE: Statement = {
  name: 'devices_page',
  text: `
    SELECT user_id AS "userId", device_id AS "deviceId" FROM devices WHERE (user_id, device_id) > ($1, $2)
    ORDER BY user_id, device_id LIMIT $3`,
};
const PAGE_OF_UNUSED: Statement = {
  name: 'devices_page_of_unused',
  text: `
    SELECT user_id AS "userId", device_id AS "deviceId", GREATEST(created_at, last_seen_at) < $4 AS wrong
    FROM devices WHERE (user_id, device_id) > ($1, $2) ORDER BY user_id, device_id LIMIT $3`,
};
// Lock a device's row before you change what belongs to it, in the order of user and device ID. This one rule makes a
// login, a refresh, a key upload and a logout of the same device wait for each other, and prevents deadlocks.
const LOCK: Statement = {
  name: 'devices_lock',
  text: `
    SELECT d.user_id AS "userId", d.device_id AS "deviceId", d.created_at AS "createdAt"
    FROM unnest($1::text[], $2::text[]) AS wanted (user_id, device_id) JOIN devices d USING (user_id, device_id)
    ORDER BY d.user_id, d.device_id
    FOR UPDATE OF d`,
};
const LOCK_ALL: Statement = {
  name: 'devices_lock_all',
  text: `
    SELECT user_id AS "userId", device_id AS "deviceId", created_at AS "createdAt"
    FROM devices WHERE user_id = $1
    ORDER BY user_id, device_id
    LIMIT $2
    FOR UPDATE`,
};
// The creation time tells the device of the request from a later one with the same ID.
const CALLER = 'SELECT FROM devices WHERE user_id = $1 AND device_id = $2 AND created_at = $3';
const HOLD_CALLER: Statement = { name: 'devices_hold_caller', text: `${CALLER} FOR KEY SHARE` };
const LOCK_CALLER: Statement = { name: 'devices_lock_caller', text: `${CALLER} FOR NO KEY UPDATE` };
const HOLD_NAMED: Statement = {
  name: 'devices_hold_named',
  text: `
    SELECT device_id AS "deviceId", created_at AS "createdAt" FROM devices
    WHERE user_id = $1 AND device_id = ANY ($2::text[])
    ORDER BY user_id, device_id
    FOR KEY SHARE`,
};
// The update changes nothing: it locks an existing device, and waits for one that is being deleted. `xmax` is 0 for
// an inserted row, because it has no earlier version that a transaction could have locked.
const ENSURE: Statement = {
  name: 'devices_ensure',
  text: `
    INSERT INTO devices (user_id, device_id, display_name, created_at)
    SELECT $1, $2, $3, $4 WHERE EXISTS (SELECT FROM devices WHERE user_id = $1 AND device_id = $2)
      OR (SELECT count(*) FROM (SELECT FROM devices WHERE user_id = $1 LIMIT $5) AS known) < $5
    ON CONFLICT (user_id, device_id) DO UPDATE SET display_name = devices.display_name
    RETURNING xmax = 0 AS "isNew"`,
};
const IMPORT: Statement = {
  name: 'devices_import',
  text: `
    INSERT INTO devices (user_id, device_id, display_name, created_at, last_seen_at, last_seen_ip, last_seen_user_agent)
    SELECT i.user_id, i.device_id, i.display_name, $7, i.seen_at, i.ip, i.user_agent
    FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[])
      AS i (user_id, device_id, display_name, seen_at, ip, user_agent)
    ON CONFLICT (user_id, device_id) DO NOTHING
    RETURNING 1`,
};
const RENAME: Statement = {
  name: 'devices_rename',
  text: 'UPDATE devices SET display_name = $3 WHERE user_id = $1 AND device_id = $2',
};
// Locked devices are skipped: they are logging in or being deleted, and this can wait.
const SEE: Statement = {
  name: 'devices_see',
  text: `
    UPDATE devices d SET last_seen_at = s.at, last_seen_ip = COALESCE(s.ip, d.last_seen_ip),
      last_seen_user_agent = CASE WHEN s.ip IS NULL THEN d.last_seen_user_agent ELSE s.user_agent END
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

/** A device of another server. */
export interface ImportedDevice extends DeviceRef {
  readonly displayName: string | null;
  readonly lastSeenAt: Date | null;
  readonly lastSeenIp: string | null;
  readonly lastSeenUserAgent: string | null;
}

/** When and from where a device made a request. */
export interface Sighting extends DeviceRef {
  readonly createdAt: Date;
  readonly at: Date;
  /** `null`: unknown. */
  readonly ip: string | null;
  readonly userAgent: string | null;
}

/**
 * The rows of devices. Only this class reads and writes them, except for the statements that
 * `test/house/tables.test.ts` names.
 */
@Injectable()
export class DeviceRows {
  constructor(
    private readonly unitOfWork: UnitOfWork,
    private readonly environment: Environment,
  ) {}

  list(userId: string): Promise<DeviceEntity[]> {
    return this.unitOfWork.query(LIST, [userId]);
  }

  async find({ userId, deviceId }: DeviceRef): Promise<DeviceEntity | null> {
    const [device] = await this.unitOfWork.query<DeviceEntity>(FIND, [userId, deviceId]);
    return device ?? null;
  }

  /** When the device was created; `null` if it does not exist. */
  async createdAt({ userId, deviceId }: DeviceRef): Promise<Date | null> {
    const [device] = await this.unitOfWork.query<{ createdAt: Date }>(CREATED_AT, [userId, deviceId]);
    return device?.createdAt ?? null;
  }

  /** The next devices after the given one, of all users. */
  page({ userId, deviceId }: DeviceRef, limit: number): Promise<DeviceRef[]> {
    return this.unitOfWork.query(PAGE, [userId, deviceId, limit]);
  }

  /** The next devices after the given one; `wrong` if a device was last used before `before`. */
  pageOfUnused(
    { userId, deviceId }: DeviceRef,
    limit: number,
    before: Date,
  ): Promise<(DeviceRef & { readonly wrong: boolean })[]> {
    return this.unitOfWork.query(PAGE_OF_UNUSED, [userId, deviceId, limit, before]);
  }

  /** Which of these device IDs the user has. */
  async findNamed(tx: Tx, userId: string, deviceIds: readonly string[]): Promise<string[]> {
    const rows = await tx.query<{ deviceId: string }>(FIND_NAMED, [userId, deviceIds]);
    return rows.map(({ deviceId }) => deviceId);
  }

  /** The device, locked so that nobody else changes or deletes it until the transaction ends. */
  async findForChange(tx: Tx, { userId, deviceId }: DeviceRef): Promise<DeviceEntity | null> {
    const [device] = await tx.query<DeviceEntity>(FIND_FOR_CHANGE, [userId, deviceId]);
    return device ?? null;
  }

  /** The devices among `refs` that exist, locked until the transaction ends. */
  lock(tx: Tx, refs: readonly DeviceRef[]): Promise<DeletedDevice[]> {
    return this.lockBy(tx, LOCK, deviceColumns(refs));
  }

  /** The first `limit` devices of a user, locked until the transaction ends. */
  lockAll(tx: Tx, userId: string, limit: number): Promise<DeletedDevice[]> {
    return this.lockBy(tx, LOCK_ALL, [userId, limit]);
  }

  /**
   * Keeps the caller's device from being deleted until the transaction ends.
   * @throws {MatrixError} `M_UNKNOWN_TOKEN` if it has been deleted in the meantime, even if a new device has its ID
   */
  holdCaller(tx: Tx, caller: RequesterDevice): Promise<void> {
    return this.requireCaller(tx, HOLD_CALLER, caller);
  }

  /** Same as {@link holdCaller}, but other calls of `lockCaller` for this device wait until the transaction ends. */
  lockCaller(tx: Tx, caller: RequesterDevice): Promise<void> {
    return this.requireCaller(tx, LOCK_CALLER, caller);
  }

  /**
   * Keeps these devices of a user, as far as they exist, from being deleted until the transaction ends.
   * @param caller the caller's device, held as well; `null` for an application service that names none
   * @throws {MatrixError} `M_UNKNOWN_TOKEN` if the caller's device has been deleted in the meantime
   */
  async holdNamed(
    tx: Tx,
    userId: string,
    deviceIds: readonly string[],
    caller: RequesterDevice | null,
  ): Promise<void> {
    const ids = [...new Set(caller === null ? deviceIds : [caller.deviceId, ...deviceIds])];
    const held = await tx.query<{ deviceId: string; createdAt: Date }>(HOLD_NAMED, [userId, ids]);
    const isCaller = (one: { deviceId: string; createdAt: Date }) =>
      one.deviceId === caller?.deviceId && one.createdAt.getTime() === caller.createdAt.getTime();
    if (caller !== null && !held.some(isCaller)) throw MatrixError.unknownToken();
  }

  /**
   * Creates the device unless it exists, and locks it until the transaction ends. Devices created at the same time may
   * exceed `DEVICES_PER_USER`.
   * @returns whether it is new
   * @throws {MatrixError} `M_FORBIDDEN` if the user has too many devices
   */
  async ensure(tx: Tx, { userId, deviceId }: DeviceRef, displayName: string | null): Promise<boolean> {
    const { devicesPerUser } = this.environment.limits;
    const values = [userId, deviceId, displayName, tx.startedAt, devicesPerUser];
    const [device] = await tx.query<{ isNew: boolean }>(ENSURE, values);
    if (device === undefined)
      throw new BeyondLimit(
        'DEVICES_PER_USER',
        403,
        'M_FORBIDDEN',
        `A user may have at most ${devicesPerUser} devices: sign out on one of them and try again`,
      );
    return device.isNew;
  }

  /** Creates devices of another server unless they exist. Returns how many are new. */
  async import(tx: Tx, devices: readonly ImportedDevice[]): Promise<number> {
    const columns = [
      ...deviceColumns(devices),
      devices.map(({ displayName }) => displayName),
      devices.map(({ lastSeenAt }) => lastSeenAt),
      devices.map(({ lastSeenIp }) => lastSeenIp),
      devices.map(({ lastSeenUserAgent }) => lastSeenUserAgent),
    ];
    return (await tx.query(IMPORT, [...columns, tx.startedAt])).length;
  }

  async rename(tx: Tx, { userId, deviceId }: DeviceRef, displayName: string): Promise<void> {
    await tx.query(RENAME, [userId, deviceId, displayName]);
  }

  /**
   * Stores when devices were seen, but never an earlier time, and never on a newer device with the same ID. Returns
   * the devices that were updated. The others are gone, locked, or already have a later time.
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

  private async requireCaller(tx: Tx, statement: Statement, caller: RequesterDevice): Promise<void> {
    const { userId, deviceId, createdAt } = caller;
    const rows = await tx.query(statement, [userId, deviceId, createdAt]);
    if (rows.length === 0) throw MatrixError.unknownToken();
  }

  private async lockBy(tx: Tx, statement: Statement, values: unknown[]): Promise<DeletedDevice[]> {
    const rows = await tx.query<DeviceRef & { createdAt: Date }>(statement, values);
    return rows.map(({ userId, deviceId, createdAt }) => ({
      userId,
      deviceId,
      createdTs: createdAt.getTime(),
    }));
  }
}
