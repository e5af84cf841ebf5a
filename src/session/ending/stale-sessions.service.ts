import { Injectable, Logger } from '@nestjs/common';
import { recordOrigin } from '../../audit/origins.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { DeviceRows } from '../../device-rows/device-rows.js';
import { deviceKey, type DeviceRef } from '../../events/devices-deleted.event.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import { isUnavailable, warnUnlessOutage } from '../../system/outage.js';
import { SessionStore } from '../session.store.js';
import { EndingService } from './ending.service.js';

/** Devices that are looked at together. */
const PAGE = 2_000;
/** Devices that are ended in one commit. */
const STEP = 200;
/** Of one call. */
const MOST_ENDED = 10_000;

/** How far a call came. */
export interface StaleSessionsEnded {
  readonly ended: number;
  /** Whether none is left, but for those that could not be ended, of which the log tells. */
  readonly done: boolean;
}

/** Ends the sessions that a backup has brought back. */
@Injectable()
export class StaleSessionsService {
  private readonly logger = new Logger(StaleSessionsService.name);

  constructor(
    private readonly store: SessionStore,
    private readonly endings: EndingService,
    private readonly unitOfWork: UnitOfWork,
    private readonly devices: DeviceRows,
  ) {}

  /**
   * Ends sessions, with their devices, that began, or were refreshed the last time, before an instant; {@link
   * MOST_ENDED} or so. What it has looked at and left is younger: of that there is little right after a restore, so
   * each call begins anew.
   */
  async end(before: Date, origin: Origin): Promise<StaleSessionsEnded> {
    let ended = 0;
    let from: DeviceRef = { userId: '', deviceId: '' };
    while (ended < MOST_ENDED) {
      const devices = await this.devices.page(from, PAGE);
      const last = devices.at(-1);
      if (last === undefined) return { ended, done: true };
      const stale = await this.store.staleOf(devices, before);
      for (let at = 0; at < stale.length; at += STEP)
        ended += await this.step(stale.slice(at, at + STEP), before, origin);
      from = last;
    }
    return { ended, done: false };
  }

  /** Ends devices together, and where that fails, each by itself: one that a listener holds on to stops no other. */
  private async step(devices: readonly DeviceRef[], before: Date, origin: Origin): Promise<number> {
    try {
      return await this.unitOfWork.run(async (tx) => {
        recordOrigin(tx, origin);
        const locked = await this.devices.lock(tx, devices);
        const stale = new Set((await this.store.findStale(tx, locked, before)).map(deviceKey));
        const ending = locked.filter((device) => stale.has(deviceKey(device)));
        await this.endings.endLocked(tx, ending, 'admin');
        return ending.length;
      });
    } catch (error) {
      if (isUnavailable(error)) throw error;
      if (devices.length === 1) {
        const [{ userId, deviceId }] = devices as [DeviceRef];
        warnUnlessOutage(this.logger, `${userId} ${deviceId} could not be ended`, error);
        return 0;
      }
    }
    let ended = 0;
    for (const device of devices) ended += await this.step([device], before, origin);
    return ended;
  }
}
