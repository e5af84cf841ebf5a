import { SessionEvent } from './session-event.js';

/**
 * A user begins a session on a device, new or known. Published before the token exists: its transaction ends with
 * the device and the token, or with neither. A listener refuses the session by throwing a `MatrixError`, which is
 * then the answer to the request.
 *
 * @example
 * ```ts
 * @InTransaction(SessionStarted)
 * async atWork({ userId }: SessionStarted) {
 *   if (!this.shifts.isOn(userId)) throw MatrixError.forbidden('Come back in the morning');
 * }
 * ```
 */
export class SessionStarted extends SessionEvent {
  static override readonly eventName = 'session.started';
  static override readonly refusable = true;

  constructor(
    readonly userId: string,
    readonly deviceId: string,
    /** Name for a device that is new; a known device keeps the one it has. */
    readonly initialDeviceDisplayName: string | null,
    /** When, in milliseconds since the epoch. */
    readonly startedTs: number,
  ) {
    super();
  }
}
