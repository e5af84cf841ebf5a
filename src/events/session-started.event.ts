import { SessionEvent } from './session-event.js';

/**
 * A user begins a session on a device, new or known. Published before the token exists: its transaction ends with
 * the device and the token, or with neither.
 */
export class SessionStarted extends SessionEvent {
  static override readonly eventName = 'session.started';

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
