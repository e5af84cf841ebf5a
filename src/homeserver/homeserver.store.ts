import { Injectable } from '@nestjs/common';
import type { Statement, Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { deviceColumns, type DeviceRef } from '../events/devices-deleted.event.js';
import type { HomeserverUserEntity } from './homeserver-user.entity.js';

const FIND_USER: Statement = {
  name: 'homeserver_find_user',
  text: 'SELECT user_id AS "userId", linked_at AS "linkedAt" FROM homeserver_users WHERE user_id = $1',
};
const INTEND: Statement = {
  name: 'homeserver_intend',
  text: 'INSERT INTO homeserver_users (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING',
};
const ABANDON: Statement = {
  name: 'homeserver_abandon',
  text: 'DELETE FROM homeserver_users WHERE user_id = $1 AND linked_at IS NULL',
};
const LINK: Statement = {
  name: 'homeserver_link',
  text: `
    INSERT INTO homeserver_users AS u (user_id, linked_at) VALUES ($1, now())
    ON CONFLICT (user_id) DO UPDATE SET linked_at = COALESCE(u.linked_at, excluded.linked_at)`,
};
const LINK_ALL: Statement = {
  name: 'homeserver_link_all',
  text: `
    INSERT INTO homeserver_users (user_id, linked_at) SELECT unnest($1::text[]), $2
    ON CONFLICT (user_id) DO NOTHING`,
};
const LINKED: Statement = {
  name: 'homeserver_linked',
  text: 'SELECT user_id AS "userId" FROM homeserver_users WHERE user_id = ANY ($1)',
};
const LOOK_AGAIN: Statement = {
  name: 'homeserver_look_again',
  text: `
    INSERT INTO homeserver_second_looks (user_id, device_id, due_at)
    SELECT deleted.user_id, deleted.device_id, $3
    FROM unnest($1::text[], $2::text[]) AS deleted (user_id, device_id)
    ON CONFLICT (user_id, device_id) DO UPDATE SET due_at = excluded.due_at`,
};
const QUEUE_DUE: Statement = {
  name: 'homeserver_queue_due',
  text: `
    UPDATE homeserver_second_looks l SET due_at = $1::timestamptz + interval '1 hour' FROM (
      SELECT user_id, device_id FROM homeserver_second_looks WHERE due_at <= $1
      ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED) AS due
    WHERE l.user_id = due.user_id AND l.device_id = due.device_id
    RETURNING l.user_id AS "userId", l.device_id AS "deviceId"`,
};
const FIND_LOOKS: Statement = {
  name: 'homeserver_find_looks',
  text: `
    SELECT device_id AS "deviceId" FROM homeserver_second_looks WHERE user_id = $1 AND device_id = ANY ($2::text[])`,
};
const FORGET_LOOKS: Statement = {
  name: 'homeserver_forget_looks',
  text: 'DELETE FROM homeserver_second_looks WHERE user_id = $1 AND device_id = ANY ($2::text[])',
};

/** The SQL of the connection to the homeserver. */
@Injectable()
export class HomeserverStore {
  constructor(private readonly unitOfWork: UnitOfWork) {}

  /** `null` for a user of whom the homeserver was told nothing yet. */
  async findUser(userId: string): Promise<HomeserverUserEntity | null> {
    return (await this.unitOfWork.query<HomeserverUserEntity>(FIND_USER, [userId]))[0] ?? null;
  }

  /** Records that the user is about to be made there: from now on, a user of that name there is ours. */
  async intend(userId: string): Promise<void> {
    await this.unitOfWork.runOne(INTEND, [userId]);
  }

  /** Takes back what {@link intend} has recorded. */
  async abandon(userId: string): Promise<void> {
    await this.unitOfWork.runOne(ABANDON, [userId]);
  }

  /** Records that the homeserver has the user. */
  async link(userId: string): Promise<void> {
    await this.unitOfWork.runOne(LINK, [userId]);
  }

  /** Records that the homeserver has these users. */
  async linkAll(tx: Tx, userIds: readonly string[]): Promise<void> {
    await tx.query(LINK_ALL, [userIds, tx.startedAt]);
  }

  /** Those of the users whom the homeserver has, or is about to have, from this service. */
  async linked(userIds: readonly string[]): Promise<ReadonlySet<string>> {
    const rows = await this.unitOfWork.query<{ userId: string }>(LINKED, [userIds]);
    return new Set(rows.map(({ userId }) => userId));
  }

  /** Records that devices were deleted there, and are to be deleted once more at `dueAt`. */
  async lookAgain(devices: readonly DeviceRef[], dueAt: Date): Promise<void> {
    await this.unitOfWork.runOne(LOOK_AGAIN, [...deviceColumns(devices), dueAt]);
  }

  /** Returns devices that are due; if they are not forgotten, again an hour later. Other nodes get others. */
  queueDue(tx: Tx, now: Date, limit: number): Promise<DeviceRef[]> {
    return tx.query(QUEUE_DUE, [now, limit]);
  }

  /** Those of the devices that are still to be deleted once more. */
  async findLooks(userId: string, deviceIds: readonly string[]): Promise<string[]> {
    const rows = await this.unitOfWork.query<{ deviceId: string }>(FIND_LOOKS, [userId, deviceIds]);
    return rows.map(({ deviceId }) => deviceId);
  }

  /** Records that the devices were deleted once more. */
  async forgetLooks(userId: string, deviceIds: readonly string[]): Promise<void> {
    await this.unitOfWork.runOne(FORGET_LOOKS, [userId, deviceIds]);
  }
}
