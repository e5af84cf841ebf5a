import { SessionEvent } from './session-event.js';

/**
 * A user has a new password; the sessions that the old one began may have to end.
 *
 * @example
 * ```ts
 * @AfterCommit(PasswordChanged, 'mail')
 * async warn({ userId }: PasswordChanged) {}
 * ```
 */
export class PasswordChanged extends SessionEvent {
  static override readonly eventName = 'password.changed';

  constructor(
    readonly userId: string,
    /** Whether the user's devices are to be deleted. */
    readonly logoutDevices: boolean,
    /** The device that stays in any case; `null` when none does. */
    readonly keptDeviceId: string | null,
    /** When, in milliseconds since the epoch. */
    readonly changedTs: number,
  ) {
    super();
  }
}
