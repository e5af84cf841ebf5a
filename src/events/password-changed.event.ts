import { SessionEvent } from './session-event.js';

/**
 * A user has a new password. Sessions that began with the old one may have to end.
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
    /** The device that stays in any case; `null` if there is none. */
    readonly keptDeviceId: string | null,
    /** When, in milliseconds since the epoch. */
    readonly changedTs: number,
  ) {
    super();
  }
}
