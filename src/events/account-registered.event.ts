import { SessionEvent } from './session-event.js';

/**
 * An account was created, or a guest has become a user.
 *
 * @example
 * ```ts
 * @AfterCommit(AccountRegistered, 'welcome')
 * async greet({ userId, kind }: AccountRegistered) {}
 * ```
 */
export class AccountRegistered extends SessionEvent {
  static override readonly eventName = 'account.registered';

  constructor(
    readonly userId: string,
    readonly kind: 'user' | 'guest' | 'appservice',
    /** When, in milliseconds since the epoch. */
    readonly registeredTs: number,
  ) {
    super();
  }
}
