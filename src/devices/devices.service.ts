import { Injectable } from '@nestjs/common';
import { AccountsService, requireActive } from '../accounts/accounts.service.js';
import type { Requester } from '../auth/requester.js';
import type { Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { DeviceCreated } from '../events/device-created.event.js';
import type { Origins } from '../events/origins.js';
import { DeviceRenamed } from '../events/device-renamed.event.js';
import type { DeviceRef } from '../events/devices-deleted.event.js';
import { EventBus } from '../events/event-bus.js';
import type { Origin } from '../matrix/client-origin.decorator.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { requireDeviceId, requireShortName } from '../device-rows/device.rules.js';
import type { DeviceEntity } from '../device-rows/device.entity.js';
import { DeviceRows } from '../device-rows/device-rows.js';
import { LastSeenService } from './last-seen.service.js';

/** Reads, creates and renames devices. */
@Injectable()
export class DevicesService {
  constructor(
    private readonly store: DeviceRows,
    private readonly lastSeen: LastSeenService,
    private readonly accounts: AccountsService,
    private readonly events: EventBus,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  /** The devices of the user, oldest first. */
  async list(userId: string): Promise<DeviceEntity[]> {
    return (await this.store.list(userId)).map((device) => this.lastSeen.upToDate(device));
  }

  async exists(device: DeviceRef): Promise<boolean> {
    return (await this.store.createdAt(device)) !== null;
  }

  /** @throws {MatrixError} `M_NOT_FOUND` */
  async get(device: DeviceRef): Promise<DeviceEntity> {
    const found = await this.store.find(device);
    if (found === null) throw notFound();
    return this.lastSeen.upToDate(found);
  }

  /**
   * Creates the device unless it exists, and locks it. Publishes {@link DeviceCreated} for a new one. Returns whether
   * it is new.
   * @throws {MatrixError} `M_FORBIDDEN` if the user has too many devices, or if a listener refuses the device
   */
  async ensure(tx: Tx, device: DeviceRef, displayName: string | null, origins: Origins): Promise<boolean> {
    const { userId, deviceId } = device;
    const isNew = await this.store.ensure(tx, device, displayName);
    if (isNew) {
      await this.events.publish(
        tx,
        new DeviceCreated(userId, deviceId, displayName, tx.startedAt.getTime()),
        origins,
      );
    }
    return isNew;
  }

  /**
   * Renames the device, unless `displayName` is `null`. For an application service, creates a device that does not
   * exist ("Application services", "Device management").
   * @returns whether the device is new
   * @throws {MatrixError} `M_NOT_FOUND`; `M_TOO_LARGE` for a long name; for a new device, `M_INVALID_PARAM` for an
   *   invalid ID and `M_FORBIDDEN` for that of a key
   */
  async update(
    requester: Requester,
    deviceId: string,
    displayName: string | null,
    origin: Origin,
  ): Promise<boolean> {
    requireShortName(displayName);
    const device = { userId: requester.userId, deviceId };
    if (requester.isAppservice) requireDeviceId(deviceId);
    return this.unitOfWork.run(async (tx) => {
      if (requester.isAppservice) {
        requireActive(await this.accounts.hold(tx, device.userId));
        if (await this.ensure(tx, device, displayName, origin)) return true;
      }
      await this.rename(tx, device, displayName, origin);
      return false;
    });
  }

  /**
   * Renames a device of a user.
   * @throws {MatrixError} `M_NOT_FOUND`; `M_TOO_LARGE` for a long name
   */
  async renameFor(device: DeviceRef, displayName: string, origin: Origin): Promise<void> {
    requireShortName(displayName);
    await this.unitOfWork.run((tx) => this.rename(tx, device, displayName, origin));
  }

  private async rename(tx: Tx, device: DeviceRef, displayName: string | null, origin: Origin): Promise<void> {
    const { userId, deviceId } = device;
    const found = await this.store.findForChange(tx, device);
    if (found === null) throw notFound();
    if (displayName === null || found.displayName === displayName) return;
    await this.store.rename(tx, device, displayName);
    await this.events.publish(
      tx,
      new DeviceRenamed(userId, deviceId, displayName, tx.startedAt.getTime()),
      origin,
    );
  }
}

function notFound(): MatrixError {
  return MatrixError.notFound('The user has no device of this ID');
}
