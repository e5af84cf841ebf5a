import { Injectable } from '@nestjs/common';
import { AppserviceRegistry } from '../../appservices/appservice-registry.js';
import { DeviceRows } from '../../device-rows/device-rows.js';
import type { DeletedDevice } from '../../events/devices-deleted.event.js';
import { Clock } from '../../system/clock.js';
import { Homeserver } from '../homeserver.port.js';
import { HomeserverUsers } from '../homeserver-users.js';

/** A login may still be telling the homeserver of a device that is younger than this. */
const YOUNG_MS = 2 * 60_000;

/** How a user of this service differs from that of the homeserver. */
export interface Difference {
  readonly userId: string;
  /** Whether the homeserver has no such user, or was never told that the user is ours. */
  readonly isMissing: boolean;
  /** Whether the homeserver has such a user, who is somebody else. */
  readonly isTaken: boolean;
  /** Devices that are only there. */
  readonly left: readonly string[];
  /** Devices that are only here. */
  readonly missing: readonly DeletedDevice[];
}

/** Compares users with those of the homeserver. */
@Injectable()
export class Comparison {
  constructor(
    private readonly homeserver: Homeserver,
    private readonly users: HomeserverUsers,
    private readonly devices: DeviceRows,
    private readonly appservices: AppserviceRegistry,
    private readonly clock: Clock,
  ) {}

  async of(userId: string): Promise<Difference> {
    const nothing = { userId, isMissing: false, isTaken: false, left: [], missing: [] };
    if (!(await this.users.isLinked(userId))) {
      const isPossible = await this.users.isPossible(userId);
      return { ...nothing, isMissing: isPossible, isTaken: !isPossible };
    }
    // There first: what is made meanwhile is then young, and what is deleted meanwhile may be deleted again.
    const there = await this.homeserver.listDevices(userId);
    if (there === null) return { ...nothing, isMissing: true };
    const here = await this.devices.list(userId);
    const known = new Set(here.map(({ deviceId }) => deviceId));
    const young = this.clock.now().getTime() - YOUNG_MS;
    // Application services make devices there that this service never hears of.
    const isAppservices = this.appservices.services.some((service) => service.covers(userId));
    return {
      ...nothing,
      left: isAppservices ? [] : there.filter((deviceId) => !known.has(deviceId)),
      missing: here
        .filter(({ deviceId, createdAt }) => createdAt.getTime() < young && !there.includes(deviceId))
        .map(({ deviceId, createdAt }) => ({ userId, deviceId, createdTs: createdAt.getTime() })),
    };
  }
}
