import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/tx.js';
import { DELETION_REASONS, DevicesDeleted } from '../events/devices-deleted.event.js';
import { FirstInTransaction, LastInTransaction } from '../events/in-transaction.decorator.js';
import type { OriginOf } from '../events/origins.js';
import { SessionStarted } from '../events/session-started.event.js';
import { DevicesService } from './devices.service.js';
import { DeviceRows } from '../device-rows/device-rows.js';
import { Metrics } from '../metrics/metrics.js';
import { LastSeenService } from './last-seen.service.js';

const DELETED = {
  name: 'session_devices_deleted_total',
  help: 'Devices that were deleted, with their tokens and keys, by reason.',
  labelNames: ['reason'],
};

/** Creates and deletes devices in the transactions that start and end their sessions. */
@Injectable()
export class DevicesSessionListener {
  constructor(
    private readonly devices: DevicesService,
    private readonly store: DeviceRows,
    private readonly lastSeen: LastSeenService,
    private readonly metrics: Metrics,
  ) {
    metrics.addCounter(DELETED);
    for (const reason of DELETION_REASONS) metrics.count(DELETED.name, { reason }, 0);
  }

  /** Runs first, so that other listeners can add rows that belong to the device. */
  @FirstInTransaction(SessionStarted)
  async onSessionStarted(
    { userId, deviceId, initialDeviceDisplayName }: SessionStarted,
    tx: Tx,
    originOf: OriginOf,
  ): Promise<void> {
    await this.devices.ensure(tx, { userId, deviceId }, initialDeviceDisplayName, originOf);
  }

  /**
   * Runs last, when other listeners have deleted what belongs to the device, so that the foreign keys' row-by-row
   * cascade finds nothing.
   */
  @LastInTransaction(DevicesDeleted)
  async onDevicesDeleted({ devices, reason }: DevicesDeleted, tx: Tx): Promise<void> {
    this.lastSeen.forget(devices);
    tx.afterCommit(() => this.metrics.count(DELETED.name, { reason }, devices.length));
    await this.store.delete(tx, devices);
  }
}
