import type { Tx } from '../database/tx.js';
import { deviceKey, type DeviceRef } from '../events/devices-deleted.event.js';
import type { Origin } from '../matrix/client-origin.decorator.js';

/** Key of the origin for everything in the transaction that has none of its own. */
const ALL = '';

const ORIGINS = {};
const originsIn = (tx: Tx) => tx.local(ORIGINS, () => new Map<string, Origin>());

/** Records which request caused a transaction or, if requests share the transaction, what it does to one device. */
export function recordOrigin(tx: Tx, origin: Origin, device?: DeviceRef): void {
  originsIn(tx).set(device === undefined ? ALL : deviceKey(device), origin);
}

/** The origin of the request that caused what the transaction does to a device or an account. */
export function originIn(tx: Tx, userId: string, deviceId: string | null): Origin | null {
  const origins = originsIn(tx);
  const ofDevice = deviceId === null ? null : origins.get(deviceKey({ userId, deviceId }));
  return ofDevice ?? origins.get(ALL) ?? null;
}
