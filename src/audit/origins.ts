import type { Tx } from '../database/tx.js';
import { deviceKey, type DeviceRef } from '../events/devices-deleted.event.js';
import type { Origin } from '../matrix/client-origin.decorator.js';

/** Of whatever no device is named for. */
const ALL = '';

const ORIGINS = {};
const originsIn = (tx: Tx) => tx.local(ORIGINS, () => new Map<string, Origin>());

/** Says where a transaction was asked for, or, of one that requests share, what happens to a device in it. */
export function recordOrigin(tx: Tx, origin: Origin, device?: DeviceRef): void {
  originsIn(tx).set(device === undefined ? ALL : deviceKey(device), origin);
}

/** Where what happens to a device, or to an account, in the transaction was asked for. */
export function originIn(tx: Tx, userId: string, deviceId: string | null): Origin | null {
  const origins = originsIn(tx);
  const ofDevice = deviceId === null ? null : origins.get(deviceKey({ userId, deviceId }));
  return ofDevice ?? origins.get(ALL) ?? null;
}
