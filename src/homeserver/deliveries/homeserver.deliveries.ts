import { Injectable } from '@nestjs/common';
import { DeviceRows } from '../../device-rows/device-rows.js';
import type { AccountDeactivated } from '../../events/account-deactivated.event.js';
import type { AccountRestricted } from '../../events/account-restricted.event.js';
import type { DeviceCreated } from '../../events/device-created.event.js';
import type { DeviceRenamed } from '../../events/device-renamed.event.js';
import type { DevicesDeleted } from '../../events/devices-deleted.event.js';
import { Clock } from '../../system/clock.js';
import { Homeserver } from '../homeserver.port.js';
import { HomeserverUsers } from '../homeserver-users.js';
import type { UserMissing } from './user-missing.event.js';
import type { SecondLook } from './second-look.event.js';
import { SecondLooks } from './second-looks.js';

/** A login waits for the homeserver for a minute at most, so the homeserver knows every device older than this. */
const KNOWN_AFTER_MS = 2 * 60_000;

/**
 * What the homeserver is told about each event, one event of a user at a time and in their order. So a deletion and a
 * creation of the same device never overlap there.
 */
@Injectable()
export class HomeserverDeliveries {
  constructor(
    private readonly homeserver: Homeserver,
    private readonly users: HomeserverUsers,
    private readonly secondLooks: SecondLooks,
    private readonly devices: DeviceRows,
    private readonly clock: Clock,
  ) {}

  async userRegistered(userId: string, signal: AbortSignal): Promise<void> {
    await this.users.ensure(userId, signal);
  }

  async deviceCreated({ userId, deviceId, displayName }: DeviceCreated, signal: AbortSignal): Promise<void> {
    await this.users.ensure(userId, signal);
    // The earlier device of this ID may have been brought back by a late upload; its keys must not be the new one's.
    await this.deleteOnceMore(userId, [deviceId], signal);
    await this.homeserver.putDevice({ userId, deviceId, displayName }, signal);
  }

  /** The homeserver does not have the user, or was never told of them. */
  async userMissing({ userId }: UserMissing, signal: AbortSignal): Promise<void> {
    await this.users.ensure(userId, signal, true);
    for (const { deviceId, displayName } of await this.devices.list(userId))
      await this.homeserver.putDevice({ userId, deviceId, displayName }, signal);
  }

  async deviceRenamed({ userId, deviceId, displayName }: DeviceRenamed, signal: AbortSignal): Promise<void> {
    if (await this.users.isLinked(userId))
      await this.homeserver.renameDevice({ userId, deviceId, displayName }, signal);
  }

  async devicesDeleted({ devices, deletedTs }: DevicesDeleted, signal: AbortSignal): Promise<void> {
    const [{ userId } = { userId: '' }] = devices;
    // Of a user that is somebody else there, nothing may be deleted.
    if (!(await this.users.isLinked(userId))) return;
    const reborn = await this.rebornSince(userId, deletedTs);
    const deviceIds = devices.map(({ deviceId }) => deviceId).filter((deviceId) => !reborn.has(deviceId));
    if (deviceIds.length === 0) return;
    await this.delete(userId, deviceIds, signal);
    await this.secondLooks.remember(deviceIds.map((deviceId) => ({ userId, deviceId })));
  }

  async lookAgain({ userId, deviceIds }: SecondLook, signal: AbortSignal): Promise<void> {
    await this.deleteOnceMore(userId, deviceIds, signal);
  }

  async deactivated({ userId, erase }: AccountDeactivated, signal: AbortSignal): Promise<void> {
    if (await this.users.isLinked(userId)) await this.homeserver.deactivate(userId, erase, signal);
  }

  async restricted({ userId, restriction, on }: AccountRestricted, signal: AbortSignal): Promise<void> {
    if (await this.users.isLinked(userId)) await this.homeserver.restrict(userId, restriction, on, signal);
  }

  private async deleteOnceMore(
    userId: string,
    deviceIds: readonly string[],
    signal: AbortSignal,
  ): Promise<void> {
    const left = await this.secondLooks.find(userId, deviceIds);
    if (left.length > 0) await this.delete(userId, left, signal);
    await this.secondLooks.forget(userId, left);
  }

  private async delete(userId: string, deviceIds: readonly string[], signal: AbortSignal): Promise<void> {
    const kept = async () => (await this.devices.list(userId)).map(({ deviceId }) => deviceId);
    await this.homeserver.deleteDevices(userId, deviceIds, kept, signal);
  }

  /**
   * Devices that were made after a deletion which comes very late, such as one that an administrator replays. Their
   * creation has been delivered, so the deletion would end them.
   */
  private async rebornSince(userId: string, deletedTs: number): Promise<ReadonlySet<string>> {
    const known = this.clock.now().getTime() - KNOWN_AFTER_MS;
    if (deletedTs > known) return new Set();
    const devices = await this.devices.list(userId);
    return new Set(
      devices
        .filter(({ createdAt }) => createdAt.getTime() >= deletedTs && createdAt.getTime() < known)
        .map(({ deviceId }) => deviceId),
    );
  }
}
