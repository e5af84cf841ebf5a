import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/tx.js';
import { AccountDeactivated } from '../events/account-deactivated.event.js';
import { AccountRegistered } from '../events/account-registered.event.js';
import { AccountRestricted } from '../events/account-restricted.event.js';
import { DevicesDeleted } from '../events/devices-deleted.event.js';
import { InTransaction } from '../events/in-transaction.decorator.js';
import type { OriginOf } from '../events/origins.js';
import { PasswordChanged } from '../events/password-changed.event.js';
import { SessionStarted } from '../events/session-started.event.js';
import { SessionsEnded } from '../events/sessions-ended.event.js';
import { AuditService } from './audit.service.js';

/** Writes an audit entry in the transaction of each event. */
@Injectable()
export class AuditListener {
  constructor(private readonly audit: AuditService) {}

  @InTransaction(SessionStarted)
  async onSessionStarted(event: SessionStarted, tx: Tx, originOf: OriginOf): Promise<void> {
    this.audit.record(tx, 'session_started', [event], originOf, { clientId: event.clientId });
  }

  @InTransaction(SessionsEnded)
  async onSessionsEnded({ sessions, reason }: SessionsEnded, tx: Tx, originOf: OriginOf): Promise<void> {
    this.audit.record(tx, 'session_ended', sessions, originOf, { reason });
  }

  @InTransaction(DevicesDeleted)
  async onDevicesDeleted({ devices, reason }: DevicesDeleted, tx: Tx, originOf: OriginOf): Promise<void> {
    this.audit.record(tx, 'session_ended', devices, originOf, { reason });
  }

  @InTransaction(AccountRegistered)
  async onAccountRegistered({ userId, kind }: AccountRegistered, tx: Tx, originOf: OriginOf): Promise<void> {
    this.audit.record(tx, 'account_registered', [{ userId }], originOf, { reason: kind });
  }

  @InTransaction(AccountDeactivated)
  async onAccountDeactivated({ userId }: AccountDeactivated, tx: Tx, originOf: OriginOf): Promise<void> {
    this.audit.record(tx, 'account_deactivated', [{ userId }], originOf);
  }

  @InTransaction(AccountRestricted)
  async onAccountRestricted(
    { userId, restriction, on }: AccountRestricted,
    tx: Tx,
    originOf: OriginOf,
  ): Promise<void> {
    this.audit.record(tx, `account_${on ? '' : 'un'}${restriction}`, [{ userId }], originOf);
  }

  @InTransaction(PasswordChanged)
  async onPasswordChanged({ userId }: PasswordChanged, tx: Tx, originOf: OriginOf): Promise<void> {
    this.audit.record(tx, 'password_changed', [{ userId }], originOf);
  }
}
