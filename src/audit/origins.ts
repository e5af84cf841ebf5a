import type { Tx } from '../database/tx.js';
import { deviceKey, type DeviceRef } from '../events/devices-deleted.event.js';
import type { Origin } from '../matrix/client-origin.decorator.js';

/** Key of the origin of a whole transaction. */
const ALL = '';

const ORIGINS = {};
const originsIn = (tx: Tx) => tx.local(ORIGINS, () => new Map<string, Origin>());

/** Records the origin of a transaction or, if requests share it, of what it does to one device. */
export function recordOrigin(tx: Tx, origin: Origin, device?: DeviceRef): void {
  originsIn(tx).set(device === undefined ? ALL : deviceKey(device), origin);
}

/** The origin of what the transaction does to a device or an account; `null` if none was recorded. */
export function originIn(tx: Tx, userId: string, deviceId: string | null): Origin | null {
  const origins = originsIn(tx);
  const ofDevice = deviceId === null ? null : origins.get(deviceKey({ userId, deviceId }));
  return ofDevice ?? origins.get(ALL) ?? null;
}
