import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import type { Tx } from '../../database/tx.js';
import { Environment } from '../../config/environment.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { DeviceRows } from '../../device-rows/device-rows.js';
import { DeviceTables } from '../../device-rows/device-tables.js';
import { type DeletedDevice, deviceKey, type DeviceRef } from '../../events/devices-deleted.event.js';
import { originsByDevice } from '../../events/origins.js';
import { isUnavailable, warnUnlessOutage } from '../../system/outage.js';
import type { EndingDeviceEntity } from './ending-device.entity.js';
import { EndingService } from './ending.service.js';
import { EndingStore } from './ending.store.js';

/** How many devices a step ends in one commit. */
const STEP = 500;
/** How many rows are deleted in one commit before their devices are. */
const BATCH = 5_000;
const SWEEP_MS = 60_000;
const START: DeviceRef = { userId: '', deviceId: '' };

/**
 * Ends the devices that were marked because they were too much for one commit. It runs right after the commit that
 * marked them or, if the node dies before that, on another node.
 */
@Injectable()
export class EndingSweeper implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(EndingSweeper.name);
  private timer: NodeJS.Timeout | undefined;
  private sweeping: Promise<void> = Promise.resolve();
  private isStopping = false;

  constructor(
    private readonly unitOfWork: UnitOfWork,
    private readonly endings: EndingService,
    private readonly store: EndingStore,
    private readonly devices: DeviceRows,
    private readonly tables: DeviceTables,
    private readonly environment: Environment,
  ) {
    if (environment.background) endings.whenMarked(() => void this.sweep());
  }

  onApplicationBootstrap(): void {
    if (!this.environment.background) return;
    this.timer = setInterval(() => void this.sweep(), SWEEP_MS).unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    this.isStopping = true;
    await this.sweeping;
  }

  /** Ends all marked devices. It never rejects: what fails is tried again next time. */
  sweep(): Promise<void> {
    this.sweeping = this.sweeping.then(() => this.goThrough());
    return this.sweeping;
  }

  private async goThrough(): Promise<void> {
    let from = START;
    try {
      while (!this.isStopping) {
        const ending = await this.store.first(from, STEP);
        const last = ending.at(-1);
        if (last === undefined) return;
        await this.step(ending);
        from = last;
      }
    } catch (error) {
      warnUnlessOutage(this.logger, 'Devices whose sessions have ended could not be looked for', error);
    }
  }

  /**
   * Ends devices together or, if that fails, one by one, so that a device whose listener fails does not block the
   * others.
   */
  private async step(ending: readonly EndingDeviceEntity[]): Promise<void> {
    try {
      while (!this.isStopping && (await this.unitOfWork.run((tx) => this.removeSome(tx, ending))));
      if (!this.isStopping) await this.unitOfWork.run((tx) => this.endMarked(tx, ending));
    } catch (error) {
      if (isUnavailable(error)) throw error;
      if (ending.length === 1) {
        const [{ userId, deviceId }] = ending as [EndingDeviceEntity];
        warnUnlessOutage(this.logger, `${userId} ${deviceId} could not be deleted yet`, error);
      } else if (!this.isStopping) for (const one of ending) await this.step([one]);
    }
  }

  /**
   * Removes a batch of the rows that are too many to delete with their devices; returns whether there may be more.
   */
  private async removeSome(tx: Tx, ending: readonly EndingDeviceEntity[]): Promise<boolean> {
    const { marked } = await this.lockMarked(tx, ending);
    return marked.length > 0 && (await this.tables.removeSomeOfMany(tx, marked, BATCH));
  }

  /**
   * Locks the devices and returns those still marked: a login may meanwhile have ended one and created a new device.
   */
  private async lockMarked(
    tx: Tx,
    ending: readonly EndingDeviceEntity[],
  ): Promise<{ locked: DeletedDevice[]; marked: EndingDeviceEntity[] }> {
    const locked = await this.devices.lock(tx, ending);
    return { locked, marked: await this.store.findAll(tx, locked) };
  }

  private async endMarked(tx: Tx, ending: readonly EndingDeviceEntity[]): Promise<void> {
    const { locked, marked } = await this.lockMarked(tx, ending);
    const origins = originsByDevice(marked.map((device) => [device, device.origin]));
    for (const reason of new Set(marked.map((one) => one.reason))) {
      const named = new Set(marked.filter((one) => one.reason === reason).map(deviceKey));
      await this.endings.end(
        tx,
        locked.filter((device) => named.has(deviceKey(device))),
        { reason, origins },
      );
    }
  }
}
