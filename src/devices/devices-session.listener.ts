import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/tx.js';
import { DevicesDeleted } from '../events/devices-deleted.event.js';
import { InTransaction } from '../events/in-transaction.decorator.js';
import { SessionStarted } from '../events/session-started.event.js';
import { DevicesStore } from './devices.store.js';

/** A device comes with a session and goes with it, in the session's own transaction. */
@Injectable()
export class DevicesSessionListener {
  constructor(private readonly store: DevicesStore) {}

  @InTransaction(SessionStarted)
  async onSessionStarted(
    { userId, deviceId, initialDeviceDisplayName }: SessionStarted,
    tx: Tx,
  ): Promise<void> {
    const device = { userId, deviceId, displayName: initialDeviceDisplayName, createdAt: tx.startedAt };
    await this.store.ensure(tx, device);
  }

  @InTransaction(DevicesDeleted)
  async onDevicesDeleted({ devices }: DevicesDeleted, tx: Tx): Promise<void> {
    await this.store.delete(tx, devices);
  }
}
