import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { recordOrigin, originIn } from '../../audit/origins.js';
import type { Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { DeviceBulk } from '../../events/device-bulk.js';
import {
  type DeletedDevice,
  type DeletionReason,
  deviceKey,
  type DeviceRef,
  DevicesDeleted,
} from '../../events/devices-deleted.event.js';
import { EventBus } from '../../events/event-bus.js';
import { isUnavailable, warnUnlessOutage } from '../../system/outage.js';
import { SessionStore } from '../session.store.js';
import type { EndingDeviceEntity } from './ending-device.entity.js';
import { EndingStore } from './ending.store.js';

/** More than this of one user does not go in one commit. */
export const ONE_COMMIT = { devices: 2_000, rows: 200_000 };
/** Devices that a step ends, in one commit. */
const STEP = 500;
/** Rows that go in one commit before their devices do. */
const BATCH = 5_000;
const SWEEP_MS = 60_000;
const START: DeviceRef = { userId: '', deviceId: '' };

/**
 * How devices end: in the commit that ends their sessions, or, where that would be too much for one, in steps. Then the
 * first commit ends the sessions and marks the devices, and the devices go right after it, batch by batch; should
 * the node die in between, another one goes on.
 */
@Injectable()
export class EndingService implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(EndingService.name);
  private timer: NodeJS.Timeout | undefined;
  private sweeping: Promise<void> = Promise.resolve();
  private isStopping = false;

  constructor(
    private readonly unitOfWork: UnitOfWork,
    private readonly sessions: SessionStore,
    private readonly store: EndingStore,
    private readonly events: EventBus,
    private readonly bulk: DeviceBulk,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => void this.sweep(), SWEEP_MS).unref();
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    this.isStopping = true;
    await this.sweeping;
  }

  /**
   * Ends devices that the caller has locked: in this commit, unless that is too much for one. Of several users only
   * their number is looked at; whoever ends those tries one that fails by itself.
   */
  async endLocked(tx: Tx, devices: readonly DeletedDevice[], reason: DeletionReason): Promise<void> {
    const [first] = devices;
    if (first === undefined) return;
    const isOneUsers = devices.every(({ userId }) => userId === first.userId);
    const inSteps =
      devices.length > ONE_COMMIT.devices || (isOneUsers && (await this.isMuch(tx, first.userId)));
    await (inSteps ? this.endInSteps(tx, devices, reason) : this.end(tx, devices, reason));
  }

  /** Ends devices that the caller has locked, now: the one path on which devices are deleted. */
  async end(tx: Tx, devices: readonly DeletedDevice[], reason: DeletionReason): Promise<void> {
    if (devices.length === 0) return;
    await tx.inOrder(
      () => this.sessions.deleteSessions(tx, devices),
      () => this.events.publish(tx, new DevicesDeleted(devices, reason, tx.startedAt.getTime())),
    );
  }

  /** Ends the sessions of devices that the caller has locked now, and the devices in steps. */
  async endInSteps(tx: Tx, devices: readonly DeviceRef[], reason: DeletionReason): Promise<void> {
    const [{ userId, deviceId }] = devices as [DeviceRef];
    tx.afterCommit(() => void this.sweep());
    await tx.inOrder(
      () => this.store.mark(tx, devices, reason, originIn(tx, userId, deviceId)),
      () => this.sessions.deleteSessions(tx, devices),
    );
  }

  /**
   * The same for every device of a user but one. The account must be locked: no session begins meanwhile.
   */
  async endAllInSteps(
    tx: Tx,
    userId: string,
    keptDeviceId: string | null,
    reason: DeletionReason,
  ): Promise<void> {
    tx.afterCommit(() => void this.sweep());
    await tx.inOrder(
      // Marks hold the devices; tokens come after devices, as everywhere.
      () => this.store.markAll(tx, userId, keptDeviceId, reason, originIn(tx, userId, null)),
      () => this.sessions.deleteAllSessions(tx, userId, keptDeviceId),
    );
  }

  /** Whether a user has so much that it does not go in one commit. */
  async isMuch(tx: Tx, userId: string): Promise<boolean> {
    return (await this.bulk.count(tx, userId, ONE_COMMIT.rows)) >= ONE_COMMIT.rows;
  }

  /**
   * Ends a device that is on its way out before somebody begins a session on it: what begins then has no keys of
   * old. The account must be held. Whoever marks the device has it locked, so the mark is looked for behind the
   * lock.
   */
  async finish(tx: Tx, device: DeviceRef): Promise<void> {
    const locked = await this.sessions.lockDevices(tx, [device]);
    const ending = locked.length === 0 ? null : await this.store.find(tx, device);
    if (ending !== null) await this.end(tx, locked, ending.reason);
  }

  /** Ends all devices that are marked. It never rejects: what fails is tried again the next time. */
  sweep(): Promise<void> {
    this.sweeping = this.sweeping.then(() => this.goThrough());
    return this.sweeping;
  }

  private async goThrough(): Promise<void> {
    let from = START;
    try {
      while (!this.isStopping) {
        const ending = await this.store.first(from, STEP);
        const last = ending.at(-1);
        if (last === undefined) return;
        await this.step(ending);
        from = last;
      }
    } catch (error) {
      warnUnlessOutage(this.logger, 'Devices whose sessions have ended could not be looked for', error);
    }
  }

  /** Ends devices together, and where that fails, each by itself: one that a listener holds on to stops no other. */
  private async step(ending: readonly EndingDeviceEntity[]): Promise<void> {
    try {
      while (!this.isStopping && (await this.unitOfWork.run((tx) => this.removeSome(tx, ending))));
      if (!this.isStopping) await this.unitOfWork.run((tx) => this.endMarked(tx, ending));
    } catch (error) {
      if (isUnavailable(error)) throw error;
      if (ending.length === 1) {
        const [{ userId, deviceId }] = ending as [EndingDeviceEntity];
        warnUnlessOutage(this.logger, `${userId} ${deviceId} could not be deleted yet`, error);
      } else if (!this.isStopping) for (const one of ending) await this.step([one]);
    }
  }

  /** Removes a batch of what is too much to go with the devices; whether there may be more. */
  private async removeSome(tx: Tx, ending: readonly EndingDeviceEntity[]): Promise<boolean> {
    const { marked } = await this.lockMarked(tx, ending);
    return marked.length > 0 && (await this.bulk.removeSome(tx, marked, BATCH));
  }

  /** Those that are still marked, locked: a login on one of them may have ended it meanwhile, and begun another. */
  private async lockMarked(
    tx: Tx,
    ending: readonly EndingDeviceEntity[],
  ): Promise<{ locked: DeletedDevice[]; marked: EndingDeviceEntity[] }> {
    const locked = await this.sessions.lockDevices(tx, ending);
    return { locked, marked: await this.store.findAll(tx, locked) };
  }

  private async endMarked(tx: Tx, ending: readonly EndingDeviceEntity[]): Promise<void> {
    const { locked, marked } = await this.lockMarked(tx, ending);
    for (const { origin, ...device } of marked) if (origin !== null) recordOrigin(tx, origin, device);
    for (const reason of new Set(marked.map((one) => one.reason))) {
      const named = new Set(marked.filter((one) => one.reason === reason).map(deviceKey));
      await this.end(
        tx,
        locked.filter((device) => named.has(deviceKey(device))),
        reason,
      );
    }
  }
}
