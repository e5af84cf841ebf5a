import type { Origin } from '../matrix/client-origin.decorator.js';
import { deviceKey, type DeviceRef } from './devices-deleted.event.js';

/** Whom or what an event is about. */
export interface About {
  readonly userId: string;
  readonly deviceId?: string | null;
}

/**
 * Where the request came from that led to an event. Requests share transactions, so one event may be the result of
 * several requests, each about a device of its own. `null` if no request led to it, as when a session has expired, and
 * for `DeviceListsChanged`, which follows from other events.
 *
 * @example
 * ```ts
 * @InTransaction(DevicesDeleted)
 * async noteWhere({ devices }: DevicesDeleted, tx: Tx, originOf: OriginOf) {
 *   const addresses = devices.map((device) => originOf(device)?.address ?? null);
 *   await tx.query(NOTE_ADDRESSES, [...deviceColumns(devices), addresses]);
 * }
 * ```
 */
export type OriginOf = (about: About) => Origin | null;

/** What a publisher says: one origin for all of an event, one for each device, or none. */
export type Origins = Origin | OriginOf | null;

export function toOriginOf(origins: Origins): OriginOf {
  return typeof origins === 'function' ? origins : () => origins;
}

/** The origins of several requests, each about one device. */
export function originsByDevice(requests: readonly (readonly [DeviceRef, Origin | null])[]): OriginOf {
  const origins = new Map(requests.map(([device, origin]) => [deviceKey(device), origin]));
  return ({ userId, deviceId = null }) =>
    deviceId === null ? null : (origins.get(deviceKey({ userId, deviceId })) ?? null);
}
