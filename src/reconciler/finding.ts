import type { DeviceRef } from '../events/devices-deleted.event.js';

/** Rows of a table that are looked at together. */
export const PAGE = 2_000;
export const EXAMPLES = 10;
const START: DeviceRef = { userId: '', deviceId: '' };

/** What one round found of one kind. */
export interface Finding {
  /** Such as `access_tokens_without_device`. */
  readonly problem: string;
  readonly found: number;
  readonly repaired: number;
  /** A few of what was found, by name. */
  readonly examples: readonly string[];
}

/** The last row that was looked at, by table; `null` at its end. */
export type Positions = Record<string, DeviceRef | null>;

/** What is looked for, page by page of the tables that it concerns. */
export interface Check {
  look(repair: boolean, positions: Positions): Promise<Finding[]>;
}

/** The next rows of a table, of which those are given that are wrong. */
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
