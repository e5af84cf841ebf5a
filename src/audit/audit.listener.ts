import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/tx.js';
import { DevicesDeleted } from '../events/devices-deleted.event.js';
import { InTransaction } from '../events/in-transaction.decorator.js';
import { SessionStarted } from '../events/session-started.event.js';
import { SessionsEnded } from '../events/sessions-ended.event.js';
import { AuditService } from './audit.service.js';

/** What begins and ends is written down by the commit that makes it true. */
@Injectable()
export class AuditListener {
  constructor(private readonly audit: AuditService) {}

  @InTransaction(SessionStarted)
  async onSessionStarted(event: SessionStarted, tx: Tx): Promise<void> {
    this.audit.record(tx, 'session_started', [event], null);
  }

  @InTransaction(SessionsEnded)
  async onSessionsEnded({ sessions, reason }: SessionsEnded, tx: Tx): Promise<void> {
    this.audit.record(tx, 'session_ended', sessions, reason);
  }

  @InTransaction(DevicesDeleted)
  async onDevicesDeleted({ devices, reason }: DevicesDeleted, tx: Tx): Promise<void> {
    this.audit.record(tx, 'session_ended', devices, reason);
  }
}
