import { isObject, type Json } from '../matrix/json.js';
import type { FoundKeys } from './keys.store.js';
import type { QueriedKeysDto } from './query-keys.dto.js';

type Signatures = NonNullable<FoundKeys['signatures']>;

/**
 * Returns the answer to a `POST /keys/query`.
 * @param wanted the requested devices by user; an empty list means all
 * @param requesterId the user who asks, who sees their own user-signing key but nobody else's
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
          .map(({ key, publicKey }) => [
            userId,
            withSignatures(key, byTarget(signatures ?? []).get(publicKey) ?? []),
          ]),
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

/** Returns the device keys as uploaded, with the cross-signing signatures and the display name, which is public. */
function toDevices(
  { userId, devices, signatures }: FoundKeys,
  wanted: readonly string[],
): Record<string, object> {
  const own = byTarget((signatures ?? []).filter(({ signerUserId }) => signerUserId === userId));
  const isWanted = new Set(wanted);
  return Object.fromEntries(
    (devices ?? [])
      .filter(({ deviceId }) => isWanted.size === 0 || isWanted.has(deviceId))
      .map(({ deviceId, keys, displayName }) => [
        deviceId,
        {
          ...withSignatures(keys, own.get(deviceId) ?? []),
          unsigned: displayName === null ? {} : { device_display_name: displayName },
        },
      ]),
  );
}

function byTarget(signatures: Signatures): Map<string, Signatures[number][]> {
  const targets = new Map<string, Signatures[number][]>();
  for (const signature of signatures) {
    const others = targets.get(signature.target);
    if (others === undefined) targets.set(signature.target, [signature]);
    else others.push(signature);
  }
  return targets;
}

function withSignatures(object: Json, signatures: Signatures): Json {
  // Return the object as it was uploaded. If it had no `signatures` field, do not add an empty one.
  if (signatures.length === 0) return object;
  const merged = isObject(object['signatures']) ? { ...object['signatures'] } : {};
  for (const { signerUserId, keyId, signature } of signatures) {
    const others = merged[signerUserId];
    merged[signerUserId] = { ...(isObject(others) ? others : {}), [keyId]: signature };
  }
  return { ...object, signatures: merged };
}
