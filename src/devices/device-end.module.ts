import { Injectable, Module } from '@nestjs/common';
import type { Tx } from '../database/tx.js';
import { DevicesDeleted } from '../events/devices-deleted.event.js';
import { InTransaction } from '../events/in-transaction.decorator.js';
import { DevicesModule } from './devices.module.js';
import { DevicesStore } from './devices.store.js';
import { LastSeenService } from './last-seen.service.js';

/** A device goes with its session, in the session's own transaction, and after whatever hangs on it. */
@Injectable()
class DeviceEndListener {
  constructor(
    private readonly store: DevicesStore,
    private readonly lastSeen: LastSeenService,
  ) {}

  @InTransaction(DevicesDeleted)
  async onDevicesDeleted({ devices }: DevicesDeleted, tx: Tx): Promise<void> {
    this.lastSeen.forget(devices);
    await this.store.delete(tx, devices);
  }
}

/** Stands behind every module that has something on a device. */
@Module({ imports: [DevicesModule], providers: [DeviceEndListener] })
export class DeviceEndModule {}
