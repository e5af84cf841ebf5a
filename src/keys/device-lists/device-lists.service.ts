import { Injectable } from '@nestjs/common';
import { Environment } from '../../config/environment.js';
import type { Tx } from '../../database/tx.js';
import { DeviceListsChanged } from '../../events/device-lists-changed.event.js';
import { EventBus } from '../../events/event-bus.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { Clock } from '../../system/clock.js';
import type { NewChange } from './device-lists.rules.js';
import { DeviceListsStore } from './device-lists.store.js';
import { SharedRooms } from './shared-rooms.port.js';

/** Longer than any transaction may last (`UnitOfWork`), plus the difference between the clocks of two nodes. */
const SETTLED_AFTER_MS = 60_000;
const TOKEN = /^mdl_(\d{1,16})$/;

/** Users whose devices or keys a client must ask for again, and users whom it no longer needs to follow. */
export interface ChangedUsers {
  readonly changed: readonly string[];
  readonly left: readonly string[];
}

/**
 * The log of changes in users' device lists.
 *
 * @example
 * ```ts
 * // In a sync server: put the position of the device-list log into the sync token.
 * const nextBatch = `${position}_${this.deviceLists.token()}`;
 * ```
 */
@Injectable()
export class DeviceListsService {
  constructor(
    private readonly store: DeviceListsStore,
    private readonly sharedRooms: SharedRooms,
    private readonly events: EventBus,
    private readonly clock: Clock,
    private readonly environment: Environment,
  ) {}

  /**
   * Records changes in the transaction that makes them, and publishes them. Other changes of the same users wait
   * until it ends, so call it last.
   */
  async record(tx: Tx, changes: readonly NewChange[]): Promise<void> {
    const now = tx.startedAt.getTime();
    const recorded = await this.store.record(tx, changes, toPosition(now), toPosition(this.oldest(now)));
    await this.events.publish(tx, new DeviceListsChanged(recorded, now));
  }

  /**
   * Returns the current position of the log as a token for `GET /keys/changes`, which a sync server puts into its own
   * token. It is a minute old, because a change that is being committed may have an earlier position than one that is
   * already visible. So a change may be reported twice, but none is missed.
   */
  token(): string {
    return toToken(toPosition(this.clock.now().getTime() - SETTLED_AFTER_MS));
  }

  /**
   * Returns whose devices or keys have changed between two tokens: the user, and users who share a room with them.
   * Changes older than `DEVICE_LIST_RETENTION` are no longer known; then everybody counts as changed.
   * @throws {MatrixError} `M_INVALID_PARAM` for a token that is not from this service, or tokens in the wrong order
   */
  async changesFor(userId: string, from: string, to: string): Promise<ChangedUsers> {
    const [after, upTo] = [this.positionOf('from', from), this.positionOf('to', to)];
    if (after > upTo) throw MatrixError.invalidParam('from must not come after to');
    const { sharing, began, ended } = await this.sharedRooms.inSpan(userId, toDate(after), toDate(upTo));
    const followed = [...new Set([userId, ...sharing])];
    const isForgotten = after < toPosition(this.oldest(this.clock.now().getTime()));
    const changed = isForgotten ? followed : await this.store.findChanged(userId, followed, after, upTo);
    return { changed: [...new Set([...changed, ...began])], left: ended };
  }

  /** Changes before this time are not kept. */
  private oldest(nowMs: number): number {
    return nowMs - this.environment.deviceListRetentionMs;
  }

  private positionOf(name: string, token: string): number {
    const position = Number(TOKEN.exec(token)?.[1] ?? Infinity);
    // A token from the future was never issued.
    if (position > toPosition(this.clock.now().getTime()))
      throw MatrixError.invalidParam(`${name} is not a token of this service`);
    return position;
  }
}

/** Positions count microseconds, which leaves room for many changes in one of the clock's milliseconds. */
function toPosition(ms: number): number {
  return Math.max(0, ms) * 1_000;
}

function toDate(position: number): Date {
  return new Date(Math.floor(position / 1_000));
}

function toToken(position: number): string {
  return `mdl_${position}`;
}
