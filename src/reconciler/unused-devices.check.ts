import { type BeforeApplicationShutdown, Injectable, Logger } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import { DeviceRows } from '../device-rows/device-rows.js';
import type { DeviceRef } from '../events/devices-deleted.event.js';
import { ExpiredSessionsService } from '../session/ending/expired-sessions.service.js';
import { togetherOrAlone } from '../session/ending/together-or-alone.js';
import { Clock } from '../system/clock.js';
import { type Check, type Finding, nextPage, PAGE, type Positions, toFinding } from './finding.js';

/** How many devices are ended in one transaction. */
const ENDED_TOGETHER = 50;
const PROBLEM = 'devices_without_token';

/** Finds devices that nobody has been able to use for `DEVICE_WITHOUT_TOKEN_TTL`. */
@Injectable()
export class UnusedDevicesCheck implements Check, BeforeApplicationShutdown {
  private readonly logger = new Logger(UnusedDevicesCheck.name);
  private isStopping = false;

  constructor(
    private readonly devices: DeviceRows,
    private readonly expired: ExpiredSessionsService,
    private readonly environment: Environment,
    private readonly clock: Clock,
  ) {}

  beforeApplicationShutdown(): void {
    this.isStopping = true;
  }

  tables(): readonly string[] {
    return ['devices'];
  }

  problems(): readonly string[] {
    return [PROBLEM];
  }

  async look(repair: boolean, positions: Positions): Promise<Finding[]> {
    const before = new Date(this.clock.now().getTime() - this.environment.deviceWithoutTokenTtlMs);
    const look = (from: DeviceRef) => this.devices.pageOfUnused(from, PAGE, before);
    const unused = await nextPage('devices', positions, look);
    const dead = unused.length === 0 ? [] : await this.expired.find(unused, before);
    const end = (devices: readonly DeviceRef[]) => this.expired.end(devices, before);
    let repaired = 0;
    for (let at = 0; repair && at < dead.length && !this.isStopping; at += ENDED_TOGETHER)
      repaired += await togetherOrAlone(dead.slice(at, at + ENDED_TOGETHER), end, this.logger);
    return [toFinding(PROBLEM, dead, repaired)];
  }
}
