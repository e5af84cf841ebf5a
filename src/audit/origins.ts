import type { Tx } from '../database/tx.js';
import { deviceKey, type DeviceRef } from '../events/devices-deleted.event.js';
import type { Origin } from '../matrix/client-origin.decorator.js';

const ORIGINS = new WeakMap<Tx, Origin | ReadonlyMap<string, Origin>>();

/** Says where a transaction was asked for, or, of one that requests share, which device of it where. */
export function cameFrom(tx: Tx, origin: Origin | ReadonlyMap<string, Origin>): void {
  ORIGINS.set(tx, origin);
}

/** Where what happens to a device in the transaction was asked for. */
export function originIn(tx: Tx, device: DeviceRef): Origin | null {
  const origin = ORIGINS.get(tx) ?? null;
  return origin instanceof Map ? (origin.get(deviceKey(device)) ?? null) : (origin as Origin | null);
}
