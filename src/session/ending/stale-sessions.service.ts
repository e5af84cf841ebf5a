import { Injectable, Logger } from '@nestjs/common';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { DeviceRows } from '../../device-rows/device-rows.js';
import { deviceKey, type DeviceRef } from '../../events/devices-deleted.event.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import { togetherOrAlone } from './together-or-alone.js';
import { SessionStore } from '../session.store.js';
import { EndingService } from './ending.service.js';

/** How many devices are checked at a time. */
const PAGE = 2_000;
/** How many devices are ended in one commit. */
const STEP = 200;
/** About how many devices one call ends at most. */
const MOST_ENDED = 10_000;

/** The progress of a call. */
export interface StaleSessionsEnded {
  readonly ended: number;
  /** Whether no stale session is left, except those that could not be ended, which are logged. */
  readonly done: boolean;
}

/** Ends sessions that a restored backup brought back. */
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
   * Ends sessions that started or were last refreshed before an instant, with their devices and, in the last call,
   * what is older and may begin another session. A call ends about {@link MOST_ENDED}. Each call scans from the
   * beginning: right after a restore, few sessions are newer and have to be skipped.
   */
  async end(before: Date, origin: Origin): Promise<StaleSessionsEnded> {
    const step = (devices: readonly DeviceRef[]) => this.step(devices, before, origin);
    let ended = 0;
    let from: DeviceRef = { userId: '', deviceId: '' };
    while (ended < MOST_ENDED) {
      const devices = await this.devices.page(from, PAGE);
      const last = devices.at(-1);
      if (last === undefined) {
        await this.endings.endOldCompanions(before, [], async () => {});
        return { ended, done: true };
      }
      const stale = await this.store.staleOf(devices, before);
      for (let at = 0; at < stale.length; at += STEP)
        ended += await togetherOrAlone(stale.slice(at, at + STEP), step, this.logger);
      from = last;
    }
    return { ended, done: false };
  }

  /** Counts the sessions that {@link end} would end, and names the first `shown` ones. */
  async preview(before: Date, shown: number): Promise<{ count: number; sessions: DeviceRef[] }> {
    const sessions: DeviceRef[] = [];
    let count = 0;
    let from: DeviceRef | undefined = { userId: '', deviceId: '' };
    while (from !== undefined) {
      const devices = await this.devices.page(from, PAGE);
      const stale = devices.length === 0 ? [] : await this.store.staleOf(devices, before);
      count += stale.length;
      sessions.push(...stale.slice(0, shown - sessions.length));
      from = devices.at(-1);
    }
    return { count, sessions };
  }

  /** Ends those of the devices whose sessions are stale, in one commit. */
  private step(devices: readonly DeviceRef[], before: Date, origin: Origin): Promise<number> {
    return this.unitOfWork.run(async (tx) => {
      const locked = await this.devices.lock(tx, devices);
      const stale = new Set((await this.store.findStale(tx, locked, before)).map(deviceKey));
      const ending = locked.filter((device) => stale.has(deviceKey(device)));
      await this.endings.endLocked(tx, ending, { reason: 'admin', origins: origin });
      return ending.length;
    });
  }
}
