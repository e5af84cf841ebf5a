import { Injectable } from '@nestjs/common';
import { tooLarge, tooMany } from '../admission/bounds.rules.js';
import type { SharedWork } from '../database/shared-work.js';
import type { Statement, Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { countedDeletionFrom, DeviceTables, type ManyRows } from '../device-rows/device-tables.js';
import { deviceColumns, type DeviceRef } from '../events/devices-deleted.event.js';
import type { Json } from '../matrix/json.js';
import type { KeyUsage } from './cross-signing/cross-signing.rules.js';
import type { KeySignatureEntity } from './cross-signing/key-signature.entity.js';
import type { Limits } from '../config/limits.js';
import type { MatrixError } from '../matrix/matrix-error.js';
import { Environment } from '../config/environment.js';
import type { StoredKey, UploadedKey, WantedKey } from './keys.rules.js';

/** The keys of a user that the server has. */
export interface FoundKeys {
  readonly userId: string;
  readonly devices: readonly { deviceId: string; keys: Json; displayName: string | null }[] | null;
  readonly crossSigningKeys: readonly { usage: KeyUsage; publicKey: string; key: Json }[] | null;
  /** The signatures that the user has made, and those that the requester has made. */
  readonly signatures: readonly Omit<KeySignatureEntity, 'userId' | 'deviceId'>[] | null;
}

/** A request for the keys of users. */
interface Query {
  readonly userIds: readonly string[];
  readonly requesterId: string;
}

/** Says which of the requests that share a statement a row belongs to. */
interface Numbered {
  readonly n: number;
}

/** A user's keys, which PostgreSQL has aggregated into JSON. */
interface KeysRow {
  readonly userId: string;
  readonly devices: string | null;
  readonly crossSigningKeys: string | null;
  readonly signatures: string | null;
}

/** The result for one of the requests that share a statement. */
interface Answer {
  readonly found: FoundKeys[];
  readonly bytes: number;
}
const NOTHING: Answer = { found: [], bytes: 0 };

/** The result of adding one-time keys. */
export interface AddedKeys {
  /** The keys that are stored under the uploaded IDs. Empty if all keys were added. */
  readonly known: UploadedKey[];
  /** The reason if no key was added because the device would have too many, otherwise `null`. */
  readonly refusal: MatrixError | null;
}

/** A query for more users does not share a statement, because each user may have a megabyte of keys. */
const FEW_USERS = 2;
const QUERIED_TOGETHER = 16;
const QUERIES_TOGETHER = 32;

/** A key that was handed out. */
export type ClaimedKey = WantedKey & Pick<UploadedKey, 'keyId' | 'key'>;

// Keys of an old identity could still be claimed, but would be useless.
const FORGET_OTHER_IDENTITY: Statement = {
  name: 'keys_forget_other_identity',
  text: `
    WITH other AS MATERIALIZED (
      SELECT FROM device_keys WHERE user_id = $1 AND device_id = $2 AND keys -> 'keys' IS DISTINCT FROM $3::jsonb
    ), one_time AS (
      DELETE FROM one_time_keys WHERE user_id = $1 AND device_id = $2 AND EXISTS (SELECT FROM other)
    )
    DELETE FROM fallback_keys WHERE user_id = $1 AND device_id = $2 AND EXISTS (SELECT FROM other)`,
};
const FIND_DEVICE_KEYS: Statement = {
  name: 'keys_find_device_keys',
  text: `
    SELECT (SELECT keys FROM device_keys WHERE user_id = $1 AND device_id = $2) AS keys,
      (SELECT coalesce(sum(octet_length(keys::text)), 0)::int FROM device_keys
       WHERE user_id = $1 AND device_id <> $2) AS "othersBytes"`,
};
const PUT_DEVICE_KEYS: Statement = {
  name: 'keys_put_device_keys',
  text: `
    INSERT INTO device_keys (user_id, device_id, keys, uploaded_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (user_id, device_id) DO UPDATE SET keys = excluded.keys, uploaded_at = excluded.uploaded_at`,
};
const DELETE_SIGNATURES: Statement = {
  name: 'keys_delete_signatures',
  text: 'DELETE FROM key_signatures WHERE user_id = $1 AND device_id = $2',
};
// Counts first, so that no work is done for keys that exceed a limit.
const ADD_ONE_TIME_KEYS: Statement = {
  name: 'keys_add_one_time_keys',
  text: `
    WITH had AS MATERIALIZED (
      SELECT count(*)::int AS ever, count(*) FILTER (WHERE claimed_at IS NULL)::int AS unclaimed
      FROM (SELECT claimed_at FROM one_time_keys WHERE user_id = $1 AND device_id = $2 LIMIT $8) AS known
    ), added AS (
      INSERT INTO one_time_keys (user_id, device_id, algorithm, key_id, key, uploaded_at, batch)
      SELECT $1, $2, algorithm, key_id, key, $6,
        (SELECT coalesce(max(batch), 0) + 1 FROM one_time_keys
         WHERE user_id = $1 AND device_id = $2 AND claimed_at IS NULL)
      FROM had CROSS JOIN unnest($3::text[], $4::text[], $5::jsonb[]) AS uploaded (algorithm, key_id, key)
      WHERE had.unclaimed + cardinality($3::text[]) <= $7 AND had.ever + cardinality($3::text[]) <= $8
      ORDER BY algorithm, key_id
      ON CONFLICT DO NOTHING
      RETURNING 1
    )
    SELECT (SELECT count(*)::int FROM added) AS added, had.unclaimed, had.ever FROM had`,
};
// Looks up each key by the whole primary key. Without statistics for the table, PostgreSQL would execute a plain join
// by reading all keys of the device for each of the uploaded keys.
const FIND_ONE_TIME_KEYS: Statement = {
  name: 'keys_find_one_time_keys',
  text: `
    SELECT uploaded.algorithm, uploaded.key_id AS "keyId", known.key
    FROM unnest($3::text[], $4::text[]) AS uploaded (algorithm, key_id), LATERAL (
      SELECT key FROM one_time_keys k
      WHERE k.user_id = $1 AND k.device_id = $2 AND k.algorithm = uploaded.algorithm AND k.key_id = uploaded.key_id
      OFFSET 0) AS known`,
};
const PUT_FALLBACK_KEYS: Statement = {
  name: 'keys_put_fallback_keys',
  text: `
    INSERT INTO fallback_keys (user_id, device_id, algorithm, key_id, key, used, uploaded_at)
    SELECT $1, $2, algorithm, key_id, key, false, $6
    FROM unnest($3::text[], $4::text[], $5::jsonb[]) AS uploaded (algorithm, key_id, key)
    ORDER BY algorithm
    ON CONFLICT (user_id, device_id, algorithm) DO UPDATE
      SET key_id = excluded.key_id, key = excluded.key, used = false, uploaded_at = excluded.uploaded_at
    WHERE fallback_keys.key_id <> excluded.key_id OR fallback_keys.key <> excluded.key`,
};
const COUNT_FALLBACK_KEYS: Statement = {
  name: 'keys_count_fallback_keys',
  text: 'SELECT count(*)::int AS count FROM fallback_keys WHERE user_id = $1 AND device_id = $2',
};
const COUNT_OF_USER: Statement = {
  name: 'keys_count_of_user',
  text: 'SELECT count(*)::int AS count FROM (SELECT FROM one_time_keys WHERE user_id = $1 LIMIT $2) AS counted',
};
const REMOVE_SOME: Statement = {
  name: 'keys_remove_some',
  text: `
    WITH picked AS MATERIALIZED (
      SELECT k.user_id, k.device_id, k.algorithm, k.key_id
      FROM unnest($1::text[], $2::text[]) AS ended (user_id, device_id) JOIN one_time_keys k USING (user_id, device_id)
      LIMIT $3)
    DELETE FROM one_time_keys k USING picked
    WHERE k.user_id = picked.user_id AND k.device_id = picked.device_id AND k.algorithm = picked.algorithm
      AND k.key_id = picked.key_id
    RETURNING 1`,
};
const COUNT_ONE_TIME_KEYS: Statement = {
  name: 'keys_count_one_time_keys',
  text: `
    SELECT algorithm, count(*)::int AS count FROM one_time_keys
    WHERE user_id = $1 AND device_id = $2 AND claimed_at IS NULL
    GROUP BY algorithm`,
};
// Of the signatures that the requester has made over the keys of others, only those by its current user-signing key
// are returned. Older ones no longer verify anybody.
const QUERY: Statement = {
  name: 'keys_query',
  text: `
    SELECT asked.n, asked.user_id AS "userId",
      (SELECT json_agg(json_build_object('deviceId', k.device_id, 'keys', k.keys, 'displayName', d.display_name))::text
       FROM device_keys k JOIN devices d USING (user_id, device_id) WHERE k.user_id = asked.user_id) AS devices,
      (SELECT json_agg(json_build_object('usage', usage, 'publicKey', public_key, 'key', key))::text
       FROM cross_signing_keys WHERE user_id = asked.user_id AND replaced_at IS NULL) AS "crossSigningKeys",
      (SELECT json_agg(json_build_object(
         'target', target, 'signerUserId', signer_user_id, 'keyId', key_id, 'signature', signature))::text
       FROM key_signatures WHERE user_id = asked.user_id AND signer_user_id IN (asked.user_id, asked.requester_id)
         AND (signer_user_id = asked.user_id OR key_id = 'ed25519:' ||
           (SELECT public_key FROM cross_signing_keys
            WHERE user_id = asked.requester_id AND usage = 'user_signing' AND replaced_at IS NULL))) AS signatures
    FROM unnest($1::int[], $2::text[], $3::text[]) AS asked (n, user_id, requester_id) JOIN accounts USING (user_id)`,
};
// Devices are locked in the same order as by a logout. A claimed key stays locked until the commit; a concurrent
// claim waits for it and then takes the next key. Skipping locked keys instead would hand out the fallback key while
// there are one-time keys left. If several claims in one statement name the same device, each skips as many keys as
// the claims before it take. The sort makes PostgreSQL choose all keys before it marks the first one as claimed,
// because a marked key would be hidden from the claims after it.
const CLAIM: Statement = {
  name: 'keys_claim',
  text: `
    WITH held AS MATERIALIZED (
      SELECT wanted.*, row_number() OVER (PARTITION BY user_id, device_id, algorithm ORDER BY n) - 1 AS earlier
      FROM unnest($1::int[], $2::text[], $3::text[], $4::text[]) AS wanted (n, user_id, device_id, algorithm)
    ), oldest AS MATERIALIZED (
      SELECT held.n, k.*
      FROM (
        SELECT held.* FROM held JOIN devices d USING (user_id, device_id)
        ORDER BY d.user_id, d.device_id
        FOR KEY SHARE OF d
      ) AS held, LATERAL (
        SELECT user_id, device_id, algorithm, key_id FROM one_time_keys k
        WHERE k.user_id = held.user_id AND k.device_id = held.device_id AND k.algorithm = held.algorithm
          AND claimed_at IS NULL
        ORDER BY batch, key_id
        LIMIT 1 OFFSET held.earlier
        FOR NO KEY UPDATE
      ) k
      ORDER BY held.n
    )
    UPDATE one_time_keys k SET claimed_at = $5 FROM oldest
    WHERE k.user_id = oldest.user_id AND k.device_id = oldest.device_id AND k.algorithm = oldest.algorithm
      AND k.key_id = oldest.key_id
    RETURNING oldest.n, k.user_id AS "userId", k.device_id AS "deviceId", k.algorithm, k.key_id AS "keyId", k.key`,
};
const FIND_FALLBACK_KEYS: Statement = {
  name: 'keys_find_fallback_keys',
  text: `
    SELECT user_id AS "userId", device_id AS "deviceId", algorithm, key_id AS "keyId", key, used
    FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted (user_id, device_id, algorithm)
    JOIN fallback_keys USING (user_id, device_id, algorithm)`,
};
const USE_FALLBACK_KEYS: Statement = {
  name: 'keys_use_fallback_keys',
  text: `
    WITH locked AS MATERIALIZED (
      SELECT k.user_id, k.device_id, k.algorithm
      FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS given (user_id, device_id, algorithm, key_id)
      JOIN fallback_keys k USING (user_id, device_id, algorithm, key_id)
      WHERE NOT k.used
      ORDER BY k.user_id, k.device_id, k.algorithm
      FOR NO KEY UPDATE OF k
    )
    UPDATE fallback_keys k SET used = true FROM locked
    WHERE k.user_id = locked.user_id AND k.device_id = locked.device_id AND k.algorithm = locked.algorithm`,
};
/** Where the keys of devices are. */
export const TABLES = ['device_keys', 'one_time_keys', 'fallback_keys', 'key_signatures'];
const DELETE_OF_DEVICES = countedDeletionFrom('keys_delete_of_devices', TABLES);

/** The SQL of keys. */
@Injectable()
export class KeysStore implements ManyRows {
  private readonly queries: SharedWork<Query, Answer>;

  constructor(
    private readonly unitOfWork: UnitOfWork,
    private readonly environment: Environment,
    tables: DeviceTables,
  ) {
    tables.register(...TABLES);
    tables.registerMany(this);
    this.queries = unitOfWork.shareLookUps(
      { name: 'keys_query', limit: QUERIES_TOGETHER, userOf: ({ requesterId }) => requesterId },
      (queries: readonly Query[]) => this.queryTogether(queries),
    );
  }

  get limits(): Limits {
    return this.environment.limits;
  }

  /** Returns the device's identity keys, and the size of those of the user's other devices in bytes of JSON. */
  async findDeviceKeys(
    tx: Tx,
    { userId, deviceId }: DeviceRef,
  ): Promise<{ keys: Json | null; othersBytes: number }> {
    const [found] = await tx.query<{ keys: Json | null; othersBytes: number }>(FIND_DEVICE_KEYS, [
      userId,
      deviceId,
    ]);
    return found!;
  }

  async putDeviceKeys(tx: Tx, { userId, deviceId }: DeviceRef, keys: Json): Promise<void> {
    await tx.query(PUT_DEVICE_KEYS, [userId, deviceId, JSON.stringify(keys), tx.startedAt]);
  }

  /** Deletes the one-time and fallback keys of the device if it has other identity keys than these. */
  async forgetOtherIdentity(tx: Tx, { userId, deviceId }: DeviceRef, keys: Json): Promise<void> {
    await tx.query(FORGET_OTHER_IDENTITY, [userId, deviceId, JSON.stringify(keys['keys'])]);
  }

  /** Deletes the signatures over the device and those that it has made. */
  async deleteSignatures(tx: Tx, { userId, deviceId }: DeviceRef): Promise<void> {
    await tx.query(DELETE_SIGNATURES, [userId, deviceId]);
  }

  /**
   * Adds the keys whose ID is free, or none of the keys if the device would have too many. Unless all were added,
   * returns the keys that are now stored under their IDs.
   */
  async addOneTimeKeys(tx: Tx, device: DeviceRef, keys: readonly StoredKey[]): Promise<AddedKeys> {
    const { unclaimedKeys, lifetimeKeys } = this.limits;
    const values = keyColumns(device, keys);
    const [row] = await tx.query<{ added: number; unclaimed: number; ever: number }>(ADD_ONE_TIME_KEYS, [
      ...values,
      tx.startedAt,
      unclaimedKeys,
      lifetimeKeys,
    ]);
    const { added, unclaimed, ever } = row!;
    if (added === keys.length) return { known: [], refusal: null };
    const known = await tx.query<UploadedKey>(FIND_ONE_TIME_KEYS, values.slice(0, 4));
    if (ever + keys.length > lifetimeKeys)
      return {
        known,
        refusal: tooMany('LIMIT_LIFETIME_KEYS', 'one-time keys in the life of a device', lifetimeKeys),
      };
    const isFull = unclaimed + keys.length > unclaimedKeys;
    return {
      known,
      refusal: isFull
        ? tooMany('LIMIT_UNCLAIMED_KEYS', 'unclaimed one-time keys on a device', unclaimedKeys)
        : null,
    };
  }

  /**
   * Replaces the fallback keys of these algorithms. A key that is stored already keeps its `used` mark. Returns how
   * many fallback keys the device has afterwards.
   */
  async putFallbackKeys(tx: Tx, device: DeviceRef, keys: readonly StoredKey[]): Promise<number> {
    const [, [row]] = await tx.inOrder(
      () => tx.query(PUT_FALLBACK_KEYS, [...keyColumns(device, keys), tx.startedAt]),
      () => tx.query<{ count: number }>(COUNT_FALLBACK_KEYS, [device.userId, device.deviceId]),
    );
    return row!.count;
  }

  async count(tx: Tx, userId: string, limit: number): Promise<number> {
    const [row] = await tx.query<{ count: number }>(COUNT_OF_USER, [userId, limit]);
    return row!.count;
  }

  async removeSome(tx: Tx, devices: readonly DeviceRef[], limit: number): Promise<number> {
    return (await tx.query(REMOVE_SOME, [...deviceColumns(devices), limit])).length;
  }

  async countOneTimeKeys(tx: Tx, { userId, deviceId }: DeviceRef): Promise<Record<string, number>> {
    const rows = await tx.query<{ algorithm: string; count: number }>(COUNT_ONE_TIME_KEYS, [
      userId,
      deviceId,
    ]);
    return Object.fromEntries(rows.map(({ algorithm, count }) => [algorithm, count]));
  }

  /**
   * Returns the keys of those `userIds` that exist, with the signatures that `requesterId` may see. Queries at the
   * same time share a statement. A query for many users does not, because the other queries would have to wait for
   * it; it reads the keys of a few users at a time.
   * @throws {MatrixError} `M_TOO_LARGE` if there is more than an answer may hold
   */
  async query(userIds: readonly string[], requesterId: string): Promise<FoundKeys[]> {
    if (userIds.length <= FEW_USERS) {
      const { found, bytes } = await this.queries.together({ userIds, requesterId });
      this.requireAnswer(bytes);
      return found;
    }
    const all: FoundKeys[] = [];
    let sum = 0;
    for (const some of chunksOf(userIds, QUERIED_TOGETHER)) {
      const [{ found, bytes } = NOTHING] = await this.queryTogether([{ userIds: some, requesterId }]);
      all.push(...found);
      sum += bytes;
      this.requireAnswer(sum);
    }
    return all;
  }

  private requireAnswer(bytes: number): void {
    if (bytes > this.limits.queryAnswerBytes)
      throw tooLarge('LIMIT_QUERY_ANSWER', 'These users have too many keys for one answer: ask for fewer');
  }

  /** Takes the oldest one-time key for each of the wanted keys. Those for which there is none are left out. */
  async claim(
    tx: Tx,
    claims: readonly (readonly WantedKey[])[],
  ): Promise<Map<readonly WantedKey[], ClaimedKey[]>> {
    const wanted = claims.flatMap((claim, n) => claim.map((one) => ({ n, ...one })));
    const rows = await tx.query<ClaimedKey & Numbered>(CLAIM, [
      wanted.map(({ n }) => n),
      ...wantedColumns(wanted),
      tx.startedAt,
    ]);
    const keys = byNumber(claims.length, rows);
    return new Map(claims.map((claim, n) => [claim, keys[n]!]));
  }

  /** Returns the fallback keys for the wanted keys and marks them as used. */
  async useFallbackKeys(tx: Tx, wanted: readonly WantedKey[]): Promise<ClaimedKey[]> {
    const keys = await tx.query<ClaimedKey & { used: boolean }>(FIND_FALLBACK_KEYS, wantedColumns(wanted));
    const unused = keys.filter(({ used }) => !used);
    if (unused.length > 0) {
      await tx.query(USE_FALLBACK_KEYS, [...wantedColumns(unused), unused.map(({ keyId }) => keyId)]);
    }
    return keys;
  }

  /** Returns how many rows were deleted, by table. */
  async deleteOfDevices(tx: Tx, devices: readonly DeviceRef[]): Promise<Readonly<Record<string, number>>> {
    const [counts] = await tx.query<Record<string, number>>(DELETE_OF_DEVICES, deviceColumns(devices));
    return counts!;
  }

  private async queryTogether(queries: readonly Query[]): Promise<Answer[]> {
    const asked = queries.flatMap(({ userIds, requesterId }, n) =>
      userIds.map((userId) => ({ n, userId, requesterId })),
    );
    const rows = await this.unitOfWork.query<KeysRow & Numbered>(QUERY, [
      asked.map(({ n }) => n),
      asked.map(({ userId }) => userId),
      asked.map(({ requesterId }) => requesterId),
    ]);
    return byNumber(queries.length, rows).map((own) => ({
      found: own.map(toFoundKeys),
      bytes: own.reduce((sum, row) => sum + bytesOf(row), 0),
    }));
  }
}

function toFoundKeys({ userId, devices, crossSigningKeys, signatures }: KeysRow): FoundKeys {
  const parse = (json: string | null): unknown => (json === null ? null : JSON.parse(json));
  return {
    userId,
    devices: parse(devices) as FoundKeys['devices'],
    crossSigningKeys: parse(crossSigningKeys) as FoundKeys['crossSigningKeys'],
    signatures: parse(signatures) as FoundKeys['signatures'],
  };
}

function bytesOf({ devices, crossSigningKeys, signatures }: KeysRow): number {
  return (devices?.length ?? 0) + (crossSigningKeys?.length ?? 0) + (signatures?.length ?? 0);
}

/** Splits the items into lists of at most `size`. */
export function chunksOf<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, at) =>
    items.slice(at * size, (at + 1) * size),
  );
}

/** Returns the rows of a shared statement, grouped by the request that they belong to. */
function byNumber<Row extends Numbered>(count: number, rows: readonly Row[]): Row[][] {
  const shares: Row[][] = Array.from({ length: count }, () => []);
  for (const row of rows) shares[row.n]!.push(row);
  return shares;
}

function wantedColumns(wanted: readonly WantedKey[]): string[][] {
  return [
    wanted.map(({ userId }) => userId),
    wanted.map(({ deviceId }) => deviceId),
    wanted.map(({ algorithm }) => algorithm),
  ];
}

function keyColumns({ userId, deviceId }: DeviceRef, keys: readonly StoredKey[]): unknown[] {
  return [
    userId,
    deviceId,
    keys.map(({ algorithm }) => algorithm),
    keys.map(({ keyId }) => keyId),
    keys.map(({ json }) => json),
  ];
}
