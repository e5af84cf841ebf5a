import { Injectable } from '@nestjs/common';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { DeviceRows } from '../../device-rows/device-rows.js';
import { type DeletedDevice, deviceKey } from '../../events/devices-deleted.event.js';
import { EndingService } from './ending.service.js';

/** Ends sessions that the homeserver does not serve. */
@Injectable()
export class UnservedSessionsService {
  constructor(
    private readonly endings: EndingService,
    private readonly unitOfWork: UnitOfWork,
    private readonly devices: DeviceRows,
  ) {}

  /**
   * Ends these sessions and no later ones on devices of the same ID.
   * @returns how many there were
   */
  end(devices: readonly DeletedDevice[]): Promise<number> {
    const createdTs = new Map(devices.map((device) => [deviceKey(device), device.createdTs]));
    return this.unitOfWork.run(async (tx) => {
      const locked = await this.devices.lock(tx, devices);
      const ended = locked.filter((device) => device.createdTs === createdTs.get(deviceKey(device)));
      await this.endings.endLocked(tx, ended, { reason: 'homeserver' });
      return ended.length;
    });
  }
}
