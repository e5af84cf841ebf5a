import { Injectable } from '@nestjs/common';
import { DeviceRows } from '../../device-rows/device-rows.js';
import type { AccountDeactivated } from '../../events/account-deactivated.event.js';
import type { AccountRestricted } from '../../events/account-restricted.event.js';
import { DeviceCreated } from '../../events/device-created.event.js';
import type { DeviceRenamed } from '../../events/device-renamed.event.js';
import type { DeletedDevice, DevicesDeleted } from '../../events/devices-deleted.event.js';
import { OutboxService } from '../../outbox/outbox.service.js';
import { Homeserver } from '../homeserver.port.js';
import { HomeserverUsers } from '../homeserver-users.js';
import type { UserMissing } from './user-missing.event.js';
import type { SecondLook } from './second-look.event.js';
import { SecondLooks } from './second-looks.js';
import { SUBSCRIBER } from './subscriber-name.js';

/** How many devices of a missing user are made at a time. A next attempt goes on with those that are left. */
const AT_ONCE = 8;

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
    private readonly outbox: OutboxService,
  ) {}

  async userRegistered(userId: string, signal: AbortSignal): Promise<void> {
    await this.users.ensure(userId, signal);
  }

  async deviceCreated(
    { userId, deviceId, displayName, createdTs }: DeviceCreated,
    signal: AbortSignal,
  ): Promise<void> {
    // It has ended meanwhile, perhaps because the homeserver did not hear of it in time.
    const createdAt = await this.devices.createdAt({ userId, deviceId });
    if (createdAt?.getTime() !== createdTs) return;
    if (!(await this.users.ensure(userId, signal))) return;
    // The earlier device of this ID may have been brought back by a late upload; its keys must not be the new one's.
    const left = await this.secondLooks.find(userId, [deviceId]);
    if (left.length > 0) await this.delete(userId, left, signal);
    await this.homeserver.putDevice({ userId, deviceId, displayName }, signal);
    await this.secondLooks.forget(userId, left);
  }

  /** The homeserver does not have the user, or was never told of them. */
  async userMissing({ userId }: UserMissing, signal: AbortSignal): Promise<void> {
    if (!(await this.users.ensure(userId, signal, true))) return;
    const there = new Set(await this.homeserver.listDevices(userId));
    const missing = (await this.devices.list(userId)).filter(({ deviceId }) => !there.has(deviceId));
    for (let at = 0; at < missing.length; at += AT_ONCE) {
      const few = missing.slice(at, at + AT_ONCE);
      await Promise.all(
        few.map(({ deviceId, displayName }) =>
          this.homeserver.putDevice({ userId, deviceId, displayName }, signal),
        ),
      );
    }
  }

  async deviceRenamed({ userId, deviceId, displayName }: DeviceRenamed, signal: AbortSignal): Promise<void> {
    if (await this.users.isLinked(userId))
      await this.homeserver.renameDevice({ userId, deviceId, displayName }, signal);
  }

  async devicesDeleted({ devices }: DevicesDeleted, signal: AbortSignal): Promise<void> {
    const { userId } = devices[0]!;
    // Of a user that is somebody else there, nothing may be deleted.
    if (!(await this.users.isLinked(userId))) return;
    const deviceIds = await this.withoutReborn(userId, devices);
    if (deviceIds.length === 0) return;
    await this.delete(userId, deviceIds, signal);
    await this.secondLooks.remember(deviceIds.map((deviceId) => ({ userId, deviceId })));
  }

  /** Leaves alone what lives here: its creation deletes the earlier device, now or when it is delivered. */
  async lookAgain({ userId, deviceIds }: SecondLook, signal: AbortSignal): Promise<void> {
    const alive = new Set((await this.devices.list(userId)).map(({ deviceId }) => deviceId));
    const gone = deviceIds.filter((deviceId) => !alive.has(deviceId));
    const left = await this.secondLooks.find(userId, gone);
    if (left.length > 0) await this.delete(userId, left, signal);
    await this.secondLooks.forget(userId, left);
  }

  async deactivated({ userId, erase }: AccountDeactivated, signal: AbortSignal): Promise<void> {
    if (await this.users.isLinked(userId)) await this.homeserver.deactivate(userId, erase, signal);
  }

  async restricted({ userId, restriction, on }: AccountRestricted, signal: AbortSignal): Promise<void> {
    if (await this.users.isLinked(userId)) await this.homeserver.restrict(userId, restriction, on, signal);
  }

  private async delete(userId: string, deviceIds: readonly string[], signal: AbortSignal): Promise<void> {
    const kept = async () => (await this.devices.list(userId)).map(({ deviceId }) => deviceId);
    await this.homeserver.deleteDevices(userId, deviceIds, kept, signal);
  }

  /**
   * The devices without those that were born again and whose creation has been delivered: an administrator replays
   * their deletion. Usually the creation comes behind the deletion, and nothing is left out.
   */
  private async withoutReborn(userId: string, devices: readonly DeletedDevice[]): Promise<string[]> {
    const deleted = new Map(devices.map(({ deviceId, createdTs }) => [deviceId, createdTs]));
    const reborn = (await this.devices.list(userId)).filter(({ deviceId, createdAt }) => {
      const createdTs = deleted.get(deviceId);
      return createdTs !== undefined && createdAt.getTime() !== createdTs;
    });
    if (reborn.length === 0 || (await this.outbox.isPending(SUBSCRIBER, userId, DeviceCreated.eventName)))
      return [...deleted.keys()];
    for (const { deviceId } of reborn) deleted.delete(deviceId);
    return [...deleted.keys()];
  }
}
