import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Environment } from '../../config/environment.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { DeviceRef } from '../../events/devices-deleted.event.js';
import { EventBus } from '../../events/event-bus.js';
import { Clock } from '../../system/clock.js';
import { warnUnlessOutage } from '../../system/outage.js';
import { Homeserver } from '../homeserver.port.js';
import { HomeserverStore } from '../homeserver.store.js';
import { SecondLook } from './second-look.event.js';

const INTERVAL_MS = 1_000;
const LIMIT = 500;
/** A key upload that races a deletion takes less than this. */
const AFTER_MS = 5_000;

/**
 * Has devices deleted once more, some seconds after they were deleted at the homeserver: a key upload that raced the
 * first deletion may have brought the device back. The second deletion goes through the outbox like the first one, so
 * that it never overlaps with a new device of the same ID. A new device takes it over: it deletes before it creates.
 */
@Injectable()
export class SecondLooks implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(SecondLooks.name);
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;

  constructor(
    private readonly homeserver: Homeserver,
    private readonly store: HomeserverStore,
    private readonly events: EventBus,
    private readonly unitOfWork: UnitOfWork,
    private readonly clock: Clock,
    private readonly environment: Environment,
  ) {}

  onApplicationBootstrap(): void {
    if (!this.homeserver.exists || !this.environment.background) return;
    this.timer = setInterval(() => {
      this.running ??= this.begin()
        .catch((error: unknown) => warnUnlessOutage(this.logger, 'Second deletions wait', error))
        .finally(() => (this.running = undefined));
    }, INTERVAL_MS).unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.running;
  }

  /** Remembers devices that were just deleted at the homeserver, or that should have been. */
  async remember(devices: readonly DeviceRef[], afterMs = AFTER_MS): Promise<void> {
    await this.store.lookAgain(devices, new Date(this.clock.now().getTime() + afterMs));
  }

  /** Those of the devices that are still to be deleted once more. */
  find(userId: string, deviceIds: readonly string[]): Promise<string[]> {
    return this.store.findLooks(userId, deviceIds);
  }

  /** The devices were deleted once more. */
  async forget(userId: string, deviceIds: readonly string[]): Promise<void> {
    if (deviceIds.length > 0) await this.store.forgetLooks(userId, deviceIds);
  }

  /** Hands the devices that are due to the outbox. */
  async begin(): Promise<void> {
    let queued: number;
    do {
      queued = await this.unitOfWork.run(async (tx) => {
        const devices = await this.store.queueDue(tx, this.clock.now(), LIMIT);
        const byUser = new Map<string, string[]>();
        for (const { userId, deviceId } of devices)
          byUser.set(userId, [...(byUser.get(userId) ?? []), deviceId]);
        for (const [userId, deviceIds] of byUser)
          await this.events.publish(tx, new SecondLook(userId, deviceIds));
        return devices.length;
      });
    } while (queued === LIMIT);
  }
}
