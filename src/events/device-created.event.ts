import { SessionEvent } from './session-event.js';

/**
 * A user has a new device, made by a login or an application service. A listener refuses it by throwing a
 * `MatrixError`, which is then the answer to the request.
 *
 * @example
 * ```ts
 * @InTransaction(DeviceCreated)
 * async atMostTen({ userId }: DeviceCreated, tx: Tx) {
 *   const devices = await tx.query(FIND_DEVICES, [userId]);
 *   if (devices.length > 10) throw MatrixError.forbidden('Ten devices are enough');
 * }
 * ```
 */
export class DeviceCreated extends SessionEvent {
  static override readonly eventName = 'device.created';
  static override readonly refusable = true;

  constructor(
    readonly userId: string,
    readonly deviceId: string,
    readonly displayName: string | null,
    /** When the device was created, in milliseconds since the epoch. */
    readonly createdTs: number,
  ) {
    super();
  }
}
