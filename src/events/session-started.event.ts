import { SessionEvent } from './session-event.js';

/**
 * A user begins a session on a new or known device. Published before the token exists. The transaction commits both
 * the device and the token, or neither. A listener refuses the session by throwing a `MatrixError`, which is then the
 * answer to the request.
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
    /** Name for a new device; a known device keeps its name. */
    readonly initialDeviceDisplayName: string | null,
    /** When, in milliseconds since the epoch. */
    readonly startedTs: number,
    /** The OAuth 2.0 client that begins it; `null` for the login API. */
    readonly clientId: string | null = null,
  ) {
    super();
  }
}
