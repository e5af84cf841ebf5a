import { SessionEvent } from './session-event.js';

/**
 * An administrator has locked or suspended an account, or lifted that restriction. The account's sessions stay.
 *
 * @example
 * ```ts
 * @AfterCommit(AccountRestricted, 'moderation-log')
 * async note({ userId, restriction, on }: AccountRestricted) {}
 * ```
 */
export class AccountRestricted extends SessionEvent {
  static override readonly eventName = 'account.restricted';

  constructor(
    readonly userId: string,
    readonly restriction: 'locked' | 'suspended',
    /** `true` if it was set, `false` if it was lifted. */
    readonly on: boolean,
    /** When, in milliseconds since the epoch. */
    readonly restrictedTs: number,
  ) {
    super();
  }
}
