import { SessionEvent } from './session-event.js';

/**
 * Nobody can log in to the account any more; everything that lets anybody act for it goes.
 *
 * @example
 * ```ts
 * @InTransaction(AccountDeactivated)
 * async forget({ userId }: AccountDeactivated, tx: Tx) {
 *   await tx.query(DELETE_NOTES_OF_USER, [userId]);
 * }
 * ```
 */
export class AccountDeactivated extends SessionEvent {
  static override readonly eventName = 'account.deactivated';

  constructor(
    readonly userId: string,
    /** Whether the user asked for their data to be erased, too. */
    readonly erase: boolean,
    /** When, in milliseconds since the epoch. */
    readonly deactivatedTs: number,
  ) {
    super();
  }
}
