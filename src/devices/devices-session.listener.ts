import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/tx.js';
import { DevicesDeleted } from '../events/devices-deleted.event.js';
import { FirstInTransaction, LastInTransaction } from '../events/in-transaction.decorator.js';
import { SessionStarted } from '../events/session-started.event.js';
import { DevicesService } from './devices.service.js';
import { DeviceRows } from '../device-rows/device-rows.js';
import { LastSeenService } from './last-seen.service.js';

/** A device comes with a session and goes with it, in the session's own transaction. */
@Injectable()
export class DevicesSessionListener {
  constructor(
    private readonly devices: DevicesService,
    private readonly store: DeviceRows,
    private readonly lastSeen: LastSeenService,
  ) {}

  /** Before whatever is to hang on it. */
  @FirstInTransaction(SessionStarted)
  async onSessionStarted(
    { userId, deviceId, initialDeviceDisplayName }: SessionStarted,
    tx: Tx,
  ): Promise<void> {
    await this.devices.ensure(tx, { userId, deviceId }, initialDeviceDisplayName);
  }

  /** After whatever hangs on it, which leaves nothing for the foreign keys' row-by-row cascade. */
  @LastInTransaction(DevicesDeleted)
  async onDevicesDeleted({ devices }: DevicesDeleted, tx: Tx): Promise<void> {
    this.lastSeen.forget(devices);
    await this.store.delete(tx, devices);
  }
}
