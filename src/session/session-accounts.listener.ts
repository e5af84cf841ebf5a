import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/tx.js';
import { AccountDeactivated } from '../events/account-deactivated.event.js';
import { InTransaction } from '../events/in-transaction.decorator.js';
import type { OriginOf } from '../events/origins.js';
import { PasswordChanged } from '../events/password-changed.event.js';
import { SessionService } from './session.service.js';

/** Ends sessions in the transaction that changes the password or deactivates the account. */
@Injectable()
export class SessionAccountsListener {
  constructor(private readonly sessions: SessionService) {}

  @InTransaction(PasswordChanged)
  async onPasswordChanged(
    { userId, logoutDevices, keptDeviceId }: PasswordChanged,
    tx: Tx,
    origins: OriginOf,
  ): Promise<void> {
    if (logoutDevices)
      await this.sessions.endOthers(tx, userId, keptDeviceId, { reason: 'password_changed', origins });
  }

  @InTransaction(AccountDeactivated)
  async onAccountDeactivated({ userId }: AccountDeactivated, tx: Tx, origins: OriginOf): Promise<void> {
    await this.sessions.endOthers(tx, userId, null, { reason: 'deactivated', origins });
  }
}
