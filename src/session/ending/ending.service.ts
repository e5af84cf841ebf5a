import { Injectable } from '@nestjs/common';
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
import { type About, type Origins, toOriginOf } from '../../events/origins.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import { SessionStore } from '../session.store.js';
import { EndingStore } from './ending.store.js';

/** Why devices end, and where the requests came from that end them. */
export interface Cause {
  readonly reason: DeletionReason;
  readonly origins?: Origins;
}

/** What belongs to no device, but may begin a session: browsers that are signed in, and what clients were allowed. */
export interface Companion {
  /** Ends all of a user, in each transaction that ends every session of the user. */
  endOf(tx: Tx, userId: string): Promise<void>;
  /** Ends those that are older than an instant, of all users but some. */
  endOld(before: Date, keptUserIds: readonly string[], between: () => Promise<void>): Promise<void>;
}

/** The most that is deleted for one user in one commit. */
export const ONE_COMMIT = { devices: 2_000, rows: 200_000 };

/**
 * Ends devices in the commit that ends their sessions or, if that would be too much for one commit, in steps. Then
 * the first commit ends the sessions and marks the devices, and `EndingSweeper` deletes them in batches right after
 * it.
 */
@Injectable()
export class EndingService {
  private marked: () => void = () => {};
  private readonly companions: Companion[] = [];

  constructor(
    private readonly sessions: SessionStore,
    private readonly store: EndingStore,
    private readonly events: EventBus,
    private readonly devices: DeviceRows,
    private readonly tables: DeviceTables,
  ) {}

  /** Registers `work` to be called after each commit that marked devices. */
  whenMarked(work: () => void): void {
    this.marked = work;
  }

  /** Registers what belongs to no device, but may begin a session. */
  addCompanion(companion: Companion): void {
    this.companions.push(companion);
  }

  /** Ends the companions of users whose sessions an administrator ends, in the same transaction. */
  async endCompanions(tx: Tx, userIds: Iterable<string>): Promise<void> {
    const works = [...userIds].flatMap((userId) =>
      this.companions.map((companion) => () => companion.endOf(tx, userId)),
    );
    await tx.inOrder(...works);
  }

  /**
   * Ends the companions of all users but some that are older than an instant, page by page.
   * @param between called after each page; if it rejects, the rest stays
   */
  async endOldCompanions(
    before: Date,
    keptUserIds: readonly string[],
    between: () => Promise<void>,
  ): Promise<void> {
    for (const companion of this.companions) await companion.endOld(before, keptUserIds, between);
  }

  /**
   * Locks devices and ends those that exist.
   * @param held devices of the same user that are locked in the same order, but not ended
   * @param alongside sent behind the locks; if it rejects, nothing is ended
   * @returns how many were ended
   */
  async endWanted(
    tx: Tx,
    wanted: readonly DeviceRef[],
    cause: Cause,
    {
      held = [],
      alongside,
    }: { readonly held?: readonly DeviceRef[]; readonly alongside?: () => Promise<void> } = {},
  ): Promise<number> {
    const names = new Set(wanted.map(deviceKey));
    const refs = [...wanted, ...held.filter((one) => !names.has(deviceKey(one)))];
    const [locked] = await tx.inOrder(() => this.devices.lock(tx, refs), alongside);
    const devices = locked.filter((device) => names.has(deviceKey(device)));
    await this.endLocked(tx, devices, cause);
    return devices.length;
  }

  /**
   * Ends every device of a user, except `keptDeviceId`. The account must be locked, or its lock already sent. All
   * login tokens are deleted, even those that the kept device requested.
   */
  async endAll(tx: Tx, userId: string, keptDeviceId: string | null, cause: Cause): Promise<void> {
    const [devices, isMuch] = await tx.inOrder(
      () => this.devices.lockAll(tx, userId, ONE_COMMIT.devices + 1),
      () => this.isMuch(tx, userId),
      keptDeviceId === null
        ? undefined
        : () => this.sessions.deleteLoginTokens(tx, [{ userId, deviceId: keptDeviceId }]),
      ...this.companions.map((companion) => () => companion.endOf(tx, userId)),
    );
    if (isMuch || devices.length > ONE_COMMIT.devices)
      return this.endAllInSteps(tx, userId, keptDeviceId, cause);
    const ended = devices.filter(({ deviceId }) => deviceId !== keptDeviceId);
    return this.end(tx, ended, cause);
  }

  /**
   * Ends devices that the caller has locked, in this commit unless that is too much. For devices of several users,
   * only their number is checked; callers then retry failing devices one by one.
   */
  async endLocked(tx: Tx, devices: readonly DeletedDevice[], cause: Cause): Promise<void> {
    const [first] = devices;
    if (first === undefined) return;
    const isOneUsers = devices.every(({ userId }) => userId === first.userId);
    const inSteps =
      devices.length > ONE_COMMIT.devices || (isOneUsers && (await this.isMuch(tx, first.userId)));
    await (inSteps ? this.endInSteps(tx, devices, cause) : this.end(tx, devices, cause));
  }

  /** Ends devices that the caller has locked, in this commit. Every deletion of a device goes through this method. */
  async end(tx: Tx, devices: readonly DeletedDevice[], { reason, origins }: Cause): Promise<void> {
    if (devices.length === 0) return;
    await tx.inOrder(
      () => this.sessions.deleteSessions(tx, devices),
      () => this.events.publish(tx, new DevicesDeleted(devices, reason, tx.startedAt.getTime()), origins),
    );
  }

  /** Ends sessions in this commit, and their devices, which the caller has locked, in steps. */
  async endInSteps(tx: Tx, devices: readonly DeviceRef[], cause: Cause): Promise<void> {
    tx.afterCommit(this.marked);
    await tx.inOrder(
      () => this.store.mark(tx, devices, cause.reason, originIn(cause, devices[0]!)),
      () => this.sessions.deleteSessions(tx, devices),
    );
  }

  /**
   * Same as `endInSteps`, for every device of a user except `keptDeviceId`. The account must be locked, so that no
   * session starts meanwhile.
   */
  private async endAllInSteps(
    tx: Tx,
    userId: string,
    keptDeviceId: string | null,
    cause: Cause,
  ): Promise<void> {
    tx.afterCommit(this.marked);
    await tx.inOrder(
      // Marking holds the devices, which come before tokens in the lock order, as everywhere.
      () => this.store.markAll(tx, userId, keptDeviceId, cause.reason, originIn(cause, { userId })),
      () => this.sessions.deleteAllSessions(tx, userId, keptDeviceId),
    );
  }

  /** Whether a user has too many rows to delete in one commit. */
  async isMuch(tx: Tx, userId: string): Promise<boolean> {
    return (await this.tables.countMany(tx, userId, ONE_COMMIT.rows)) >= ONE_COMMIT.rows;
  }

  /**
   * Locks a device before a session starts on it. If the device is marked, ends it first, so that the new session
   * does not inherit its keys. The account must be held. A device is locked when it is marked, so the mark is read
   * after locking.
   * @returns whether the device exists and was not marked
   */
  async finish(tx: Tx, device: DeviceRef): Promise<boolean> {
    const locked = await this.devices.lock(tx, [device]);
    if (locked.length === 0) return false;
    const ending = await this.store.find(tx, device);
    if (ending !== null) await this.end(tx, locked, { reason: ending.reason, origins: ending.origin });
    return ending === null;
  }
}

function originIn({ origins = null }: Cause, about: About): Origin | null {
  return toOriginOf(origins)(about);
}
