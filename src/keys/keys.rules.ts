import type { DeviceRef } from '../events/devices-deleted.event.js';
import { isObject, type Json } from '../matrix/json.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { areSignatures } from '../matrix/signed-json.js';
import { serverNameOf } from '../matrix/user-id.js';
import type { Limits } from '../config/limits.js';
import { requireFew, requireFewBytes } from '../admission/bounds.rules.js';
import type { UploadKeysDto } from './upload-keys.dto.js';

/** The specification sets no limit, but an index of PostgreSQL does. */
const NAME_LIMIT_BYTES = 512;

/**
 * Whether keys of an algorithm are signed objects ("Key algorithms"). For an unknown one, strings are allowed too.
 */
const FORM_OF: Readonly<Record<string, boolean>> = { curve25519: false, signed_curve25519: true };
const FORMS: Readonly<Record<string, string>> = {
  true: 'an object with key and signatures',
  false: 'a string',
  undefined: 'a string, or an object with key and signatures',
};

/** The limits on the number of keys of each kind in one upload. */
const MOST = {
  fallback_keys: ['LIMIT_FALLBACK_KEYS', 'fallbackKeys'],
  one_time_keys: ['LIMIT_UNCLAIMED_KEYS', 'unclaimedKeys'],
} as const;

/** A one-time or fallback key as it was uploaded. */
export interface UploadedKey {
  readonly algorithm: string;
  readonly keyId: string;
  readonly key: string | object;
}

/** A key as it is stored: JSON. */
export interface StoredKey extends UploadedKey {
  readonly json: string;
}

/** An upload that has the right shape. */
export interface Upload {
  readonly deviceKeys: Json | null;
  readonly oneTimeKeys: readonly StoredKey[];
  readonly fallbackKeys: readonly StoredKey[];
}

/**
 * Checks the shape of an upload ("Key management"). Signatures are not verified: the specification leaves that to
 * clients, because they are the ones that trust them.
 * @throws {MatrixError} `M_BAD_JSON`; `M_TOO_LARGE` for a large key, `M_INVALID_PARAM` for too many
 */
export function toUpload(request: UploadKeysDto, device: DeviceRef, limits: Limits): Upload {
  const fallbackKeys = toKeys('fallback_keys', request.fallback_keys, limits);
  if (new Set(fallbackKeys.map(({ algorithm }) => algorithm)).size < fallbackKeys.length) {
    throw MatrixError.badJson('fallback_keys may hold one key for each algorithm');
  }
  return {
    deviceKeys: request.device_keys === undefined ? null : toDeviceKeys(request.device_keys, device, limits),
    oneTimeKeys: toKeys('one_time_keys', request.one_time_keys, limits),
    fallbackKeys,
  };
}

/** `algorithm:key ID`. */
export function nameOf({ algorithm, keyId }: Pick<UploadedKey, 'algorithm' | 'keyId'>): string {
  return `${algorithm}:${keyId}`;
}

/** Whether two keys with the same ID have the same key material. Their signatures may differ. */
export function isSameKey(one: string | object, other: string | object): boolean {
  return material(one) === material(other);
}

/** One key that a claim asks for. */
export interface WantedKey {
  readonly userId: string;
  readonly deviceId: string;
  readonly algorithm: string;
}

/**
 * Returns the keys that a claim asks for, one for each device.
 * @throws {MatrixError} `M_BAD_JSON`; `M_INVALID_PARAM` for too many
 */
export function toWantedKeys(oneTimeKeys: Json, limits: Limits): WantedKey[] {
  const wanted = Object.entries(oneTimeKeys).flatMap(([userId, devices]) => {
    if (!isObject(devices)) throw MatrixError.badJson(`one_time_keys.${userId} must be an object`);
    return Object.entries(devices).map(([deviceId, algorithm]) => {
      if (typeof algorithm !== 'string')
        throw MatrixError.badJson(`one_time_keys.${userId}.${deviceId} must be the name of an algorithm`);
      return { userId, deviceId, algorithm };
    });
  });
  requireFew('LIMIT_CLAIMED_DEVICES', 'devices in a claim', wanted.length, limits.claimedDevices);
  return wanted;
}

/** Returns the users of this server, and, as failures, the servers of the others, which cannot be asked. */
export function byServer(
  userIds: readonly string[],
  serverName: string,
): { local: string[]; failures: Record<string, object> } {
  const servers = userIds.map(serverNameOf).filter((name) => name !== '' && name !== serverName);
  return {
    local: userIds.filter((userId) => serverNameOf(userId) === serverName),
    failures: Object.fromEntries(servers.map((name) => [name, {}])),
  };
}

/** Sorts every claim in the same order, so that claims for the same keys wait for each other and do not deadlock. */
export function byName(one: WantedKey, other: WantedKey): number {
  return compare(one.userId, other.userId) || compare(one.deviceId, other.deviceId);
}

/**
 * Returns the requested devices by user; an empty list means all.
 * @throws {MatrixError} `M_BAD_JSON`; `M_INVALID_PARAM` for too many
 */
export function toQuery(deviceKeys: Json, limits: Limits): Map<string, string[]> {
  const wanted = new Map(
    Object.entries(deviceKeys).map(([userId, devices]) => {
      if (!Array.isArray(devices) || !devices.every((device) => typeof device === 'string')) {
        throw MatrixError.badJson(`device_keys.${userId} must be a list of device IDs`);
      }
      return [userId, devices] as const;
    }),
  );
  requireFew('LIMIT_QUERIED_USERS', 'users in a query', wanted.size, limits.queriedUsers);
  const devices = [...wanted.values()].reduce((sum, { length }) => sum + length, 0);
  requireFew('LIMIT_QUERIED_DEVICES', 'devices in a query', devices, limits.queriedDevices);
  return wanted;
}

function toDeviceKeys(keys: Json, { userId, deviceId }: DeviceRef, limits: Limits): Json {
  if (keys['user_id'] !== userId || keys['device_id'] !== deviceId) {
    throw MatrixError.badJson('device_keys must name the user and the device of the access token');
  }
  const { algorithms } = keys;
  if (!Array.isArray(algorithms) || !algorithms.every((algorithm) => typeof algorithm === 'string')) {
    throw MatrixError.badJson('device_keys.algorithms must be a list of strings');
  }
  if (!isObject(keys['keys']) || !Object.values(keys['keys']).every((key) => typeof key === 'string')) {
    throw MatrixError.badJson('device_keys.keys must be an object of strings');
  }
  const { unsigned, dehydrated } = keys;
  if (unsigned !== undefined && !isObject(unsigned))
    throw MatrixError.badJson('device_keys.unsigned must be an object');
  const name = unsigned?.['device_display_name'];
  if (name !== undefined && typeof name !== 'string')
    throw MatrixError.badJson('device_keys.unsigned.device_display_name must be a string');
  if (dehydrated !== undefined && typeof dehydrated !== 'boolean')
    throw MatrixError.badJson('device_keys.dehydrated must be true or false');
  if (!areSignatures(keys['signatures'])) {
    throw MatrixError.badJson('device_keys.signatures must hold texts by user and key');
  }
  requireFewBytes('LIMIT_DEVICE_KEYS', 'device_keys', JSON.stringify(keys), limits.deviceKeysBytes);
  return keys;
}

function toKeys(field: keyof typeof MOST, keys: Json | undefined, limits: Limits): StoredKey[] {
  const entries = Object.entries(keys ?? {});
  const [variable, limit] = MOST[field];
  requireFew(variable, `${field} in an upload`, entries.length, limits[limit]);
  return entries.map(([name, key]) => {
    const [, algorithm, keyId] = /^([^:]+):(.+)$/s.exec(name) ?? [];
    if (algorithm === undefined || keyId === undefined) {
      throw MatrixError.badJson(`${field} must be named "algorithm:key ID"`);
    }
    if (Buffer.byteLength(name) > NAME_LIMIT_BYTES) {
      throw MatrixError.badJson(`Names in ${field} may have at most ${NAME_LIMIT_BYTES} bytes`);
    }
    const json = JSON.stringify(key);
    requireFewBytes('LIMIT_KEY', `A key in ${field}`, json, limits.keyBytes);
    const isSigned = FORM_OF[algorithm] ?? typeof key !== 'string';
    if (typeof key === 'string' && !isSigned) return { algorithm, keyId, key, json };
    if (!isSigned || !isObject(key) || typeof key['key'] !== 'string' || !areSignatures(key['signatures'])) {
      throw MatrixError.badJson(`${field}.${name} must be ${FORMS[String(FORM_OF[algorithm])]}`);
    }
    if (key['fallback'] !== undefined && typeof key['fallback'] !== 'boolean')
      throw MatrixError.badJson(`${field}.${name}.fallback must be true or false`);
    return { algorithm, keyId, key, json };
  });
}

function material(key: string | object): unknown {
  return typeof key === 'string' ? key : (key as Json)['key'];
}

function compare(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}
