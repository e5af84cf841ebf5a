import type { DeviceListChangeKind } from '../../events/device-lists-changed.event.js';

/** A change that has no position yet. */
export interface NewChange {
  readonly userId: string;
  readonly change: DeviceListChangeKind;
  readonly deviceId?: string;
  readonly signedUserId?: string;
}

/** A change, and its place among the changes of its user that are written together. */
export interface NumberedChange extends NewChange {
  /** How many changes of its user come after it. */
  readonly behind: number;
  /**
   * Whether it is an `m.device_list_update`. Each of those is linked to the previous one, past changes that other
   * servers never see.
   */
  readonly isLinked: boolean;
  /** How many changes come after the one it is linked to; `null` if that was written earlier or does not exist. */
  readonly behindPrevious: number | null;
}

/** The changes that are added to the list of one user. */
export interface ListGrowth {
  readonly userId: string;
  readonly count: number;
  /** The last linked change, counted from 1; `null` when there is none. */
  readonly lastLinked: number | null;
}

/** Numbers the changes of each user in their order, and returns the lists in the order of user IDs. */
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
