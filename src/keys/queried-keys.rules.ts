import { isObject, type Json } from '../matrix/json.js';
import type { FoundKeys } from './keys.store.js';
import type { QueriedKeysDto } from './query-keys.dto.js';

type Signatures = NonNullable<FoundKeys['signatures']>;

/**
 * The answer to a `POST /keys/query`.
 * @param wanted the devices asked for, by user; an empty list means all
 * @param requesterId who asks, and alone may see the own user-signing key
 */
export function toQueriedKeys(
  found: readonly FoundKeys[],
  wanted: ReadonlyMap<string, readonly string[]>,
  requesterId: string,
): Omit<QueriedKeysDto, 'failures'> {
  const keysOf = (usage: string, users: readonly FoundKeys[]) =>
    Object.fromEntries(
      users.flatMap(({ userId, crossSigningKeys, signatures }) =>
        (crossSigningKeys ?? [])
          .filter((key) => key.usage === usage)
          .map(({ key, publicKey }) => [userId, withSignatures(key, publicKey, signatures ?? [])]),
      ),
    );
  return {
    device_keys: Object.fromEntries(
      found.map((user) => [user.userId, toDevices(user, wanted.get(user.userId) ?? [])]),
    ),
    master_keys: keysOf('master', found),
    self_signing_keys: keysOf('self_signing', found),
    user_signing_keys: keysOf(
      'user_signing',
      found.filter(({ userId }) => userId === requesterId),
    ),
  };
}

/** Keys as they were uploaded, with the signatures of cross-signing and the name that everybody may see. */
function toDevices(
  { userId, devices, signatures }: FoundKeys,
  wanted: readonly string[],
): Record<string, object> {
  const own = (signatures ?? []).filter(({ signerUserId }) => signerUserId === userId);
  return Object.fromEntries(
    (devices ?? [])
      .filter(({ deviceId }) => wanted.length === 0 || wanted.includes(deviceId))
      .map(({ deviceId, keys, displayName }) => [
        deviceId,
        {
          ...withSignatures(keys, deviceId, own),
          unsigned: displayName === null ? {} : { device_display_name: displayName },
        },
      ]),
  );
}

function withSignatures(object: Json, target: string, signatures: Signatures): Json {
  const merged = isObject(object['signatures']) ? { ...object['signatures'] } : {};
  for (const { target: signed, signerUserId, keyId, signature } of signatures) {
    if (signed !== target) continue;
    const others = merged[signerUserId];
    merged[signerUserId] = { ...(isObject(others) ? others : {}), [keyId]: signature };
  }
  return { ...object, signatures: merged };
}
