import { partsOf, SessionEvent, type UserPart } from './session-event.js';

/** Why devices are deleted. */
export const DELETION_REASONS = [
  'logout',
  'logout_all',
  'device_deleted',
  'password_changed',
  'deactivated',
  /** The OAuth 2.0 client revoked a token of the session, or somebody else did who had it. */
  'revoked',
  'revoked_by_other',
  /** An authorization code was used twice; its second user may have stolen it. */
  'code_replay',
  /** The user ended the session on the account page. */
  'account_page',
  /** An administrator ended the session. */
  'admin',
  /** The device had no usable token for longer than `DEVICE_WITHOUT_TOKEN_TTL`. */
  'expired',
  /** The homeserver did not get to know the device, or no longer has it. */
  'homeserver',
] as const;

/** Why a device was deleted. */
export type DeletionReason = (typeof DELETION_REASONS)[number];

/** Identifies a device. Device IDs are unique for one user only. */
export interface DeviceRef {
  readonly userId: string;
  readonly deviceId: string;
}

/** A device that was deleted. */
export interface DeletedDevice extends DeviceRef {
  /** Creation time, in milliseconds since the epoch. A newer device with the same ID is not this one. */
  readonly createdTs: number;
}

/**
 * Devices are deleted, with their tokens. Delete everything else that belongs to them now. One event may contain any
 * number of devices of any number of users, each of them once.
 *
 * @example
 * ```ts
 * @InTransaction(DevicesDeleted)
 * async removeNotes({ devices }: DevicesDeleted, tx: Tx) {
 *   await tx.query(DELETE_NOTES, deviceColumns(devices));
 * }
 * ```
 */
export class DevicesDeleted extends SessionEvent {
  static override readonly eventName = 'devices.deleted';

  constructor(
    readonly devices: readonly DeletedDevice[],
    readonly reason: DeletionReason,
    /** When, in milliseconds since the epoch. */
    readonly deletedTs: number,
  ) {
    super();
  }

  override perUser(): readonly UserPart[] {
    return partsOf(this.devices, (own) => new DevicesDeleted(own, this.reason, this.deletedTs));
  }
}

/** A device as one string, for sets and maps. */
export function deviceKey({ userId, deviceId }: DeviceRef): string {
  return `${userId}\0${deviceId}`;
}

/**
 * User IDs and device IDs as two arrays, for statements with `unnest($1::text[], $2::text[])`.
 *
 * @example
 * ```ts
 * const DELETE_NOTES: Statement = {
 *   name: 'notes_delete',
 *   text: `
 *     DELETE FROM notes n USING unnest($1::text[], $2::text[]) AS gone (user_id, device_id)
 *     WHERE n.user_id = gone.user_id AND n.device_id = gone.device_id`,
 * };
 * await tx.query(DELETE_NOTES, deviceColumns(devices));
 * ```
 */
export function deviceColumns(devices: readonly DeviceRef[]): [userIds: string[], deviceIds: string[]] {
  return [devices.map(({ userId }) => userId), devices.map(({ deviceId }) => deviceId)];
}
