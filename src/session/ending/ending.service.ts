import { Injectable } from '@nestjs/common';
import { originIn } from '../../audit/origins.js';
import type { Tx } from '../../database/tx.js';
import { DeviceRows } from '../../device-rows/device-rows.js';
import { DeviceTables } from '../../device-rows/device-tables.js';
import {
  type DeletedDevice,
  type DeletionReason,
  deviceKey,
  type DeviceRef,
  DevicesDeleted,
} from '../../events/devices-deleted.event.js';
import { EventBus } from '../../events/event-bus.js';
import { SessionStore } from '../session.store.js';
import { EndingStore } from './ending.store.js';

/** More than this of one user does not go in one commit. */
export const ONE_COMMIT = { devices: 2_000, rows: 200_000 };

/**
 * How devices end: in the commit that ends their sessions, or, where that would be too much for one, in steps. Then the
 * first commit ends the sessions and marks the devices, and the devices go right after it, batch by batch
 * (`EndingSweeper`).
 */
@Injectable()
export class EndingService {
  private marked: () => void = () => {};

  constructor(
    private readonly sessions: SessionStore,
    private readonly store: EndingStore,
    private readonly events: EventBus,
    private readonly devices: DeviceRows,
    private readonly tables: DeviceTables,
  ) {}

  /** Has `work` called after each commit that has marked devices. */
  whenMarked(work: () => void): void {
    this.marked = work;
  }

  /**
   * Locks devices and ends those of them that there are.
   * @param held device IDs of the same user that are locked in the same order, and not ended
   * @returns how many were ended
   */
  async endWanted(
    tx: Tx,
    wanted: readonly DeviceRef[],
    reason: DeletionReason,
    held: readonly DeviceRef[] = [],
  ): Promise<number> {
    const names = new Set(wanted.map(deviceKey));
    const locked = await this.devices.lock(tx, [
      ...wanted,
      ...held.filter((one) => !names.has(deviceKey(one))),
    ]);
    const devices = locked.filter((device) => names.has(deviceKey(device)));
    await this.endLocked(tx, devices, reason);
    return devices.length;
  }

  /**
   * Ends every device of a user but one, of an account that is locked, or whose lock is on its way. Login tokens go,
   * whichever device asked for them.
   */
  async endAll(tx: Tx, userId: string, keptDeviceId: string | null, reason: DeletionReason): Promise<void> {
    const [devices, isMuch] = await tx.inOrder(
      () => this.devices.lockAll(tx, userId, ONE_COMMIT.devices + 1),
      () => this.isMuch(tx, userId),
      keptDeviceId === null
        ? undefined
        : () => this.sessions.deleteLoginTokens(tx, [{ userId, deviceId: keptDeviceId }]),
    );
    if (isMuch || devices.length > ONE_COMMIT.devices)
      return this.endAllInSteps(tx, userId, keptDeviceId, reason);
    const ended = devices.filter(({ deviceId }) => deviceId !== keptDeviceId);
    return this.end(tx, ended, reason);
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
  private async endInSteps(tx: Tx, devices: readonly DeviceRef[], reason: DeletionReason): Promise<void> {
    const [{ userId, deviceId }] = devices as [DeviceRef];
    tx.afterCommit(this.marked);
    await tx.inOrder(
      () => this.store.mark(tx, devices, reason, originIn(tx, userId, deviceId)),
      () => this.sessions.deleteSessions(tx, devices),
    );
  }

  /**
   * The same for every device of a user but one. The account must be locked: no session begins meanwhile.
   */
  private async endAllInSteps(
    tx: Tx,
    userId: string,
    keptDeviceId: string | null,
    reason: DeletionReason,
  ): Promise<void> {
    tx.afterCommit(this.marked);
    await tx.inOrder(
      // Marks hold the devices; tokens come after devices, as everywhere.
      () => this.store.markAll(tx, userId, keptDeviceId, reason, originIn(tx, userId, null)),
      () => this.sessions.deleteAllSessions(tx, userId, keptDeviceId),
    );
  }

  /** Whether a user has so much that it does not go in one commit. */
  async isMuch(tx: Tx, userId: string): Promise<boolean> {
    return (await this.tables.countMany(tx, userId, ONE_COMMIT.rows)) >= ONE_COMMIT.rows;
  }

  /**
   * Locks a device before somebody begins a session on it, and ends it first if it is marked: what begins then has no
   * keys of old. The account must be held. Whoever marks the device has it locked, so the mark is looked for behind the
   * lock.
   * @returns whether there was such a device
   */
  async finish(tx: Tx, device: DeviceRef): Promise<boolean> {
    const locked = await this.devices.lock(tx, [device]);
    if (locked.length === 0) return false;
    const ending = await this.store.find(tx, device);
    if (ending !== null) await this.end(tx, locked, ending.reason);
    return ending === null;
  }
}
