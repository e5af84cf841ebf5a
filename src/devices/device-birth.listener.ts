import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/tx.js';
import { InTransaction } from '../events/in-transaction.decorator.js';
import { SessionStarted } from '../events/session-started.event.js';
import { DevicesService } from './devices.service.js';

/** A device comes with a session, in the session's own transaction, and before whatever is to hang on it. */
@Injectable()
export class DeviceBirthListener {
  constructor(private readonly devices: DevicesService) {}

  @InTransaction(SessionStarted)
  async onSessionStarted(
    { userId, deviceId, initialDeviceDisplayName }: SessionStarted,
    tx: Tx,
  ): Promise<void> {
    await this.devices.ensure(tx, { userId, deviceId }, initialDeviceDisplayName);
  }
}
