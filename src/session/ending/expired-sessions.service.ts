import { Injectable } from '@nestjs/common';
import type { Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { DeviceRows } from '../../device-rows/device-rows.js';
import { deviceKey, type DeviceRef } from '../../events/devices-deleted.event.js';
import { SessionStore } from '../session.store.js';
import { TokenIssuer } from '../token-issuer.js';
import { EndingService } from './ending.service.js';

/** Ends devices that nobody can use any more. */
@Injectable()
export class ExpiredSessionsService {
  constructor(
    private readonly store: SessionStore,
    private readonly tokens: TokenIssuer,
    private readonly endings: EndingService,
    private readonly unitOfWork: UnitOfWork,
    private readonly devices: DeviceRows,
  ) {}

  /** Returns the devices that nobody has been able to use since `before`. */
  async find(devices: readonly DeviceRef[], before: Date): Promise<DeviceRef[]> {
    return this.unitOfWork.run((tx) => this.expiredOf(tx, devices, before));
  }

  /**
   * Ends the devices that nobody has been able to use since `before`.
   * @returns how many were ended
   */
  async end(devices: readonly DeviceRef[], before: Date): Promise<number> {
    return this.unitOfWork.run(async (tx) => {
      const locked = await this.devices.lock(tx, devices);
      const expired = await this.expiredOf(tx, locked, before);
      await this.endings.endLocked(tx, expired, { reason: 'expired' });
      return expired.length;
    });
  }

  private async expiredOf<Device extends DeviceRef>(
    tx: Tx,
    devices: readonly Device[],
    before: Date,
  ): Promise<Device[]> {
    const usable = await this.store.findUsable(tx, devices, before, this.tokens.refreshableSince(before));
    const names = new Set(usable.map(deviceKey));
    return devices.filter((device) => !names.has(deviceKey(device)));
  }
}
