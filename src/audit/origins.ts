import type { Tx } from '../database/tx.js';
import { deviceKey, type DeviceRef } from '../events/devices-deleted.event.js';
import type { Origin } from '../matrix/client-origin.decorator.js';

/** Of whatever no device is named for. */
const ALL = '';

const ORIGINS = new WeakMap<Tx, Map<string, Origin>>();

/** Says where a transaction was asked for, or, of one that requests share, what happens to a device in it. */
export function recordOrigin(tx: Tx, origin: Origin, device?: DeviceRef): void {
  const origins = ORIGINS.get(tx) ?? new Map<string, Origin>();
  ORIGINS.set(tx, origins.set(device === undefined ? ALL : deviceKey(device), origin));
}

/** Where what happens to a device, or to an account, in the transaction was asked for. */
export function originIn(tx: Tx, userId: string, deviceId: string | null): Origin | null {
  const origins = ORIGINS.get(tx);
  const ofDevice = deviceId === null ? null : origins?.get(deviceKey({ userId, deviceId }));
  return ofDevice ?? origins?.get(ALL) ?? null;
}
