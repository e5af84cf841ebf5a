import type { DeviceListChangeKind } from '../../events/device-lists-changed.event.js';

/** A change that has no position yet. */
export interface NewChange {
  readonly userId: string;
  readonly change: DeviceListChangeKind;
  readonly deviceId?: string;
  readonly signedUserId?: string;
}

/** A change among those of its user that are written together. */
export interface NumberedChange extends NewChange {
  /** How many of its user come after it. */
  readonly behind: number;
  /**
   * Whether it is an `m.device_list_update`: those are linked, each to the one before, past what other servers
   * never see.
   */
  readonly isLinked: boolean;
  /** How many come after the one that it is linked to; `null`: that was written earlier, or there is none. */
  readonly behindPrevious: number | null;
}

/** What is added to the list of one user. */
export interface ListGrowth {
  readonly userId: string;
  readonly count: number;
  /** The last linked change, counted from 1; `null` when there is none. */
  readonly lastLinked: number | null;
}

/** Numbers changes, those of each user for themselves, in their order; and gives the lists in the order of users. */
export function numbered(changes: readonly NewChange[]): {
  readonly changes: readonly NumberedChange[];
  readonly lists: readonly ListGrowth[];
} {
  const lists = new Map<string, { userId: string; count: number; lastLinked: number | null }>();
  const counted = changes.map((change) => {
    const list = lists.get(change.userId) ?? { userId: change.userId, count: 0, lastLinked: null };
    lists.set(change.userId, list);
    list.count += 1;
    const isLinked = change.change.startsWith('device_');
    const previous = isLinked ? list.lastLinked : null;
    if (isLinked) list.lastLinked = list.count;
    return { change, list, nth: list.count, isLinked, previous };
  });
  return {
    changes: counted.map(({ change, list, nth, isLinked, previous }) => ({
      ...change,
      behind: list.count - nth,
      isLinked,
      behindPrevious: previous === null ? null : list.count - previous,
    })),
    lists: [...lists.values()].toSorted((one, other) => (one.userId < other.userId ? -1 : 1)),
  };
}
