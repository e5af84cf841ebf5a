import type { DeviceRef } from '../events/devices-deleted.event.js';

/** How many rows of a table are checked at a time. */
export const PAGE = 2_000;
export const EXAMPLES = 10;
const START: DeviceRef = { userId: '', deviceId: '' };

/** What one round found of one kind of problem. */
export interface Finding {
  /** Such as `access_tokens_without_device`. */
  readonly problem: string;
  readonly found: number;
  readonly repaired: number;
  /** A few of the items that were found. */
  readonly examples: readonly string[];
}

/** The last row that was checked, by table; `null` at the end of the table. */
export type Positions = Record<string, DeviceRef | null>;

/** A check that goes through its tables page by page. */
export interface Check {
  /** The tables, or other lists, that it goes through. */
  tables(): readonly string[];
  /** The problems that it may find. */
  problems(): readonly string[];
  /** Checks the next page of each, and moves the positions. */
  look(repair: boolean, positions: Positions): Promise<Finding[]>;
}

/** Reads the next page of a table, returns the wrong rows and updates `positions`. */
export async function nextPage(
  table: string,
  positions: Positions,
  look: (from: DeviceRef) => Promise<(DeviceRef & { readonly wrong: boolean })[]>,
): Promise<DeviceRef[]> {
  const from = positions[table];
  if (from === null) return [];
  const rows = await look(from ?? START);
  const last = rows.at(-1);
  positions[table] = last === undefined ? null : { userId: last.userId, deviceId: last.deviceId };
  return rows.filter(({ wrong }) => wrong);
}

export function toFinding(problem: string, devices: readonly DeviceRef[], repaired: number): Finding {
  const examples = devices.slice(0, EXAMPLES).map(({ userId, deviceId }) => `${userId} ${deviceId}`);
  return { problem, found: devices.length, repaired, examples };
}
