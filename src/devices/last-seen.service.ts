import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import type { RequesterDevice } from '../auth/requester.js';
import { Environment } from '../config/environment.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { deviceKey, type DeviceRef } from '../events/devices-deleted.event.js';
import { Clock } from '../system/clock.js';
import { warnUnlessOutage } from '../system/outage.js';
import type { DeviceEntity } from '../device-rows/device.entity.js';
import { DeviceRows, type Sighting } from '../device-rows/device-rows.js';

/** The most sightings that are kept between two writes. Beyond that, the oldest one is dropped. */
const LIMIT = 10_000;
/** A logout waits for the batch that is writing its row, so batches are small and soon done. */
const BATCH = 200;
const USER_AGENT_LIMIT = 512;

/**
 * Records when devices were last seen. No request waits for it: sightings are collected in memory, one per device,
 * and written every `LAST_SEEN_INTERVAL` and at shutdown. A crash loses those of one interval.
 */
@Injectable()
export class LastSeenService implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(LastSeenService.name);
  private sightings = new Map<string, Sighting>();
  /** Sightings that are being written, or were skipped last time. */
  private earlier: ReadonlyMap<string, Sighting> = new Map();
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly store: DeviceRows,
    private readonly unitOfWork: UnitOfWork,
    private readonly clock: Clock,
    private readonly environment: Environment,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => void this.flush(), this.environment.lastSeenIntervalMs).unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.flush();
  }

  /** @param ip `null` if a homeserver has seen the device, which does not say where; the known address stays */
  see(
    { userId, deviceId, createdAt }: RequesterDevice,
    ip: string | null,
    userAgent: string | undefined,
  ): void {
    const key = deviceKey({ userId, deviceId });
    const seen = this.sightings.get(key);
    // Delete and insert again, so that the map stays in the order of sightings.
    this.sightings.delete(key);
    this.sightings.set(key, {
      userId,
      deviceId,
      createdAt,
      at: this.clock.now(),
      ip: ip ?? seen?.ip ?? null,
      userAgent: (ip === null ? seen?.userAgent : userAgent?.slice(0, USER_AGENT_LIMIT)) ?? null,
    });
    if (this.sightings.size > LIMIT) this.sightings.delete(this.sightings.keys().next().value!);
  }

  /**
   * Drops the sightings of devices that are being deleted. If their transaction fails, the next request adds them
   * again.
   */
  forget(devices: readonly DeviceRef[]): void {
    for (const device of devices) this.sightings.delete(deviceKey(device));
  }

  /** Returns the device, updated with what this node has not written yet. */
  upToDate(device: DeviceEntity): DeviceEntity {
    const seen = this.sightings.get(deviceKey(device)) ?? this.earlier.get(deviceKey(device));
    if (seen === undefined || seen.createdAt.getTime() !== device.createdAt.getTime()) return device;
    if (device.lastSeenAt !== null && device.lastSeenAt > seen.at) return device;
    if (seen.ip === null) return { ...device, lastSeenAt: seen.at };
    return { ...device, lastSeenAt: seen.at, lastSeenIp: seen.ip, lastSeenUserAgent: seen.userAgent };
  }

  /** Writes the collected sightings. It never rejects: what could not be written is tried again next time. */
  flush(): Promise<void> {
    this.writing = this.writing.then(() => this.write());
    return this.writing;
  }

  private async write(): Promise<void> {
    const passedOver = this.earlier;
    const fresh = this.sightings;
    this.earlier = new Map([...passedOver, ...fresh]);
    this.sightings = new Map();
    const left = new Map(this.earlier);
    try {
      const ordered = [...this.earlier.values()];
      for (let from = 0; from < ordered.length; from += BATCH) {
        const batch = ordered.slice(from, from + BATCH);
        const written = await this.unitOfWork.run((tx) => this.store.see(tx, batch));
        for (const device of written) left.delete(deviceKey(device));
      }
      // Drop what was skipped twice: the device is gone, or will be seen again.
      this.earlier = new Map([...left].filter(([key]) => fresh.has(key)));
    } catch (error) {
      warnUnlessOutage(this.logger, 'When devices were last seen could not be written', error);
      this.earlier = new Map([...left].slice(-LIMIT));
    }
  }
}
