import { Injectable } from '@nestjs/common';
import type { AccountEntity } from '../../accounts/account.entity.js';
import { AccountsService, requireActive } from '../../accounts/accounts.service.js';
import type { Decided, SharedTransaction } from '../../database/shared-transaction.js';
import type { Tx } from '../../database/tx.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { type PreparedSession, SessionStartService } from '../session-start.service.js';

/** A verified user, and the session that they get if nothing has changed since. */
export interface Login {
  readonly session: PreparedSession;
  /** The password hash that the proof was checked against; `null` if there was none. */
  readonly credential: string | null;
  /** Whether to create a missing account, because another system knows the user. */
  readonly mayBeNew: boolean;
}

type Accounts = ReadonlyMap<string, AccountEntity>;

/** Starts the session of a login. On a new device, it is written without waiting for the check of the account. */
@Injectable()
export class LoginTransaction implements SharedTransaction<Login, Accounts, PreparedSession> {
  readonly name = 'login';

  constructor(
    private readonly accounts: AccountsService,
    private readonly starts: SessionStartService,
  ) {}

  userOf({ session }: Login): string {
    return session.userId;
  }

  async lock(tx: Tx, logins: readonly Login[]): Promise<Accounts> {
    const newcomers = logins.filter(({ mayBeNew }) => mayBeNew).map(({ session }) => session);
    const [, accounts] = await tx.inOrder(
      () => this.ensure(tx, newcomers),
      () => this.accounts.holdAll(tx, [...new Set(logins.map(({ session }) => session.userId))]),
    );
    return accounts;
  }

  async ahead(tx: Tx, logins: readonly Login[]): Promise<void> {
    const onNewDevices = logins.filter(({ session }) => session.isOnNewDevice);
    await tx.inOrder(
      ...onNewDevices.map(
        ({ session }) =>
          () =>
            this.starts.begin(tx, session),
      ),
    );
  }

  decide({ session, credential }: Login, accounts: Accounts): PreparedSession {
    const account = accounts.get(session.userId) ?? null;
    // The password may have been changed while it was being verified.
    if (credential !== null && account?.passwordHash !== credential)
      throw MatrixError.forbidden('Invalid username or password');
    requireActive(account);
    return session;
  }

  async write(tx: Tx, decided: readonly Decided<Login, PreparedSession>[]): Promise<void> {
    const onKnownDevices = decided.filter(({ result }) => !result.isOnNewDevice);
    await tx.inOrder(
      ...onKnownDevices.map(
        ({ result }) =>
          () =>
            this.starts.begin(tx, result),
      ),
    );
  }

  private async ensure(tx: Tx, sessions: readonly PreparedSession[]): Promise<void> {
    const ensure = ({ userId, start }: PreparedSession) =>
      this.accounts.ensure(tx, { userId, kind: 'user', passwordHash: null }, start.origin);
    await tx.inOrder(...sessions.map((session) => () => ensure(session)));
  }
}
