import { SessionEvent } from './session-event.js';

/**
 * An account was deactivated: nobody can log in to it any more. Delete everything that lets anybody act for it.
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
    /** Whether the user also asked for their data to be erased. */
    readonly erase: boolean,
    /** When, in milliseconds since the epoch. */
    readonly deactivatedTs: number,
  ) {
    super();
  }
}
