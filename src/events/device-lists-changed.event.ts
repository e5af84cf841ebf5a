import { partsOf, SessionEvent, type UserPart } from './session-event.js';

/**
 * What may change in a device list. Other servers get these as `m.device_list_update`:
 * - `device_created`, `device_renamed`, `device_deleted`: the device, or its public name
 * - `device_keys`: the identity keys of the device, uploaded for the first time or changed
 * - `device_signed`: a cross-signing key of the user signed the device
 *
 * The others are not an `m.device_list_update`, and not part of its chain:
 * - `cross_signing_keys`: the master or self-signing key, or a signature on the master key (`m.signing_key_update`)
 * - `user_signing_key`, `user_signed`: visible only to the user; the second names who was signed
 */
export type DeviceListChangeKind =
  | 'device_created'
  | 'device_renamed'
  | 'device_deleted'
  | 'device_keys'
  | 'device_signed'
  | 'cross_signing_keys'
  | 'user_signing_key'
  | 'user_signed';

/** One change of a user's device list. */
export interface DeviceListChange {
  readonly userId: string;
  /** Unique and increasing for each user: the `stream_id` of `m.device_list_update`. */
  readonly position: number;
  /** The `prev_id` of an `m.device_list_update`; `null` for a user's first one, and for all other changes. */
  readonly previousPosition: number | null;
  readonly change: DeviceListChangeKind;
  readonly deviceId: string | null;
  readonly signedUserId: string | null;
}

/**
 * Device lists have changed: a homeserver or sync server must tell everybody who shares a room with the users.
 *
 * @example
 * ```ts
 * @AfterCommit(DeviceListsChanged, 'federation')
 * async tellServers({ changes }: DeviceListsChanged, { signal }: Delivery) {
 *   await this.federation.send(changes, signal);
 * }
 * ```
 */
export class DeviceListsChanged extends SessionEvent {
  static override readonly eventName = 'device_lists.changed';

  constructor(
    readonly changes: readonly DeviceListChange[],
    /** When, in milliseconds since the epoch. */
    readonly changedTs: number,
  ) {
    super();
  }

  override perUser(): readonly UserPart[] {
    return partsOf(this.changes, (own) => new DeviceListsChanged(own, this.changedTs));
  }
}
