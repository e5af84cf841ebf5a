import { SessionEvent } from './session-event.js';

/**
 * A device has a new name, which is visible to everybody who shares a room with its user.
 *
 * @example
 * ```ts
 * @AfterCommit(DeviceRenamed, 'directory')
 * async rename({ userId, deviceId, displayName }: DeviceRenamed) {}
 * ```
 */
export class DeviceRenamed extends SessionEvent {
  static override readonly eventName = 'device.renamed';

  constructor(
    readonly userId: string,
    readonly deviceId: string,
    readonly displayName: string,
    /** When, in milliseconds since the epoch. */
    readonly renamedTs: number,
  ) {
    super();
  }
}
