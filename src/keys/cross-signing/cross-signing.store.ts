import { Injectable } from '@nestjs/common';
import type { RequesterDevice } from '../../auth/requester.js';
import type { Statement, Tx } from '../../database/tx.js';
import { Environment } from '../../config/environment.js';
import type { Limits } from '../../config/limits.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { DeviceRows } from '../../device-rows/device-rows.js';
import type { SignedJson } from '../../matrix/signed-json.js';
import { type CrossSigningKey, ed25519, type KeySet, type KeyUsage } from './cross-signing.rules.js';
import type { KeySignatureEntity } from './key-signature.entity.js';

type FoundKey = CrossSigningKey & { readonly userId: string };

const COLUMNS = 'user_id AS "userId", usage, public_key AS "publicKey", key';

const FIND_CURRENT: Statement = {
  name: 'cross_signing_find_current',
  text: `SELECT ${COLUMNS} FROM cross_signing_keys WHERE user_id = $1 AND replaced_at IS NULL`,
};
// A key must neither sign nor be signed while it is being replaced.
const HOLD_CURRENT: Statement = {
  name: 'cross_signing_hold_current',
  text: `
    SELECT ${COLUMNS} FROM cross_signing_keys WHERE user_id = ANY ($1::text[]) AND replaced_at IS NULL
    ORDER BY user_id, public_key
    FOR SHARE`,
};
const IS_KEY: Statement = {
  name: 'cross_signing_is_key',
  text: 'SELECT FROM cross_signing_keys WHERE user_id = $1 AND public_key = $2',
};
const RETIRE: Statement = {
  name: 'cross_signing_retire',
  text: `
    UPDATE cross_signing_keys SET replaced_at = $3
    WHERE user_id = $1 AND public_key = ANY ($2::text[])`,
};
const PUT: Statement = {
  name: 'cross_signing_put',
  text: `
    INSERT INTO cross_signing_keys (user_id, public_key, usage, key, uploaded_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (user_id, public_key) DO UPDATE
      SET usage = excluded.usage, key = excluded.key, uploaded_at = excluded.uploaded_at, replaced_at = NULL`,
};
const DELETE_SIGNATURES: Statement = {
  name: 'cross_signing_delete_signatures',
  text: `
    DELETE FROM key_signatures
    WHERE user_id = $1 AND (target = ANY ($2::text[]) OR (signer_user_id = $1 AND key_id = ANY ($3::text[])))`,
};
const DELETE_ALL: Statement = {
  name: 'cross_signing_delete_all',
  text: `
    WITH signatures AS (
      DELETE FROM key_signatures WHERE user_id = $1
    ), over_others AS (
      DELETE FROM key_signatures WHERE signer_user_id = $1 AND signer_user_id <> user_id
    )
    DELETE FROM cross_signing_keys WHERE user_id = $1 RETURNING usage`,
};
const HOLD_DEVICE_KEYS: Statement = {
  name: 'cross_signing_hold_device_keys',
  text: `
    SELECT device_id AS "deviceId", keys FROM device_keys
    WHERE user_id = $1 AND device_id = ANY ($2::text[])
    ORDER BY user_id, device_id
    FOR SHARE`,
};
const SIGN: Statement = {
  name: 'cross_signing_sign',
  text: `
    INSERT INTO key_signatures AS s (user_id, signer_user_id, target, key_id, device_id, signature)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
    ORDER BY 1, 2, 3, 4
    ON CONFLICT (user_id, signer_user_id, target, key_id) DO UPDATE SET signature = excluded.signature
    WHERE s.signature <> excluded.signature
    RETURNING user_id AS "userId", target`,
};

/** The SQL of cross-signing keys and of signatures. */
@Injectable()
export class CrossSigningStore {
  constructor(
    private readonly unitOfWork: UnitOfWork,
    private readonly devices: DeviceRows,
    private readonly environment: Environment,
  ) {}

  get limits(): Limits {
    return this.environment.limits;
  }

  /** Returns which of these names are IDs of the user's devices. */
  findDevicesCalled(tx: Tx, userId: string, names: readonly string[]): Promise<string[]> {
    return this.devices.findNamed(tx, userId, names);
  }

  /** Returns the current keys of the user. */
  async findCurrent(userId: string): Promise<KeySet> {
    return toKeySet(await this.unitOfWork.query<FoundKey>(FIND_CURRENT, [userId]));
  }

  /** Returns the current keys of users and locks them, so that none can be replaced before the transaction ends. */
  async holdCurrent(tx: Tx, userIds: readonly string[]): Promise<Map<string, KeySet>> {
    const found = await tx.query<FoundKey>(HOLD_CURRENT, [[...userIds].toSorted()]);
    return new Map(userIds.map((userId) => [userId, toKeySet(found.filter((key) => key.userId === userId))]));
  }

  /** Whether the user has, or once had, a key with this public key. */
  async isKey(tx: Tx, userId: string, publicKey: string): Promise<boolean> {
    return (await tx.query(IS_KEY, [userId, publicKey])).length === 1;
  }

  /**
   * Retires keys. Their rows stay; the signatures over them, and by them over the user's own devices and keys, are
   * deleted.
   */
  async retire(tx: Tx, userId: string, publicKeys: readonly string[]): Promise<void> {
    await tx.inOrder(
      () => tx.query(RETIRE, [userId, publicKeys, tx.startedAt]),
      () => tx.query(DELETE_SIGNATURES, [userId, publicKeys, publicKeys.map(ed25519)]),
    );
  }

  /**
   * Deletes every key of the user, including replaced ones, with the signatures over them and by them; returns
   * whether there was one.
   */
  async deleteAll(tx: Tx, userId: string): Promise<boolean> {
    return (await tx.query(DELETE_ALL, [userId])).length > 0;
  }

  /** Makes the key the current one of its usage. Signatures over an earlier form of it are deleted. */
  async put(tx: Tx, userId: string, { publicKey, usage, key }: CrossSigningKey): Promise<void> {
    const { signatures, unsigned: _, ...rest } = key;
    // Signatures have rows of their own. The key keeps only whether it had a `signatures` field, so that it is
    // returned as uploaded.
    const signed = signatures === undefined ? rest : { ...rest, signatures: {} };
    await tx.inOrder(
      () => tx.query(DELETE_SIGNATURES, [userId, [publicKey], []]),
      () => tx.query(PUT, [userId, publicKey, usage, JSON.stringify(signed), tx.startedAt]),
    );
  }

  /**
   * Returns the identity keys of the caller's device and of the named devices. They are locked, so none of them can
   * be deleted or changed before the transaction ends. Call this before you lock any cross-signing key.
   * @param device the caller's device; `null` for an application service that names none
   * @throws {MatrixError} `M_UNKNOWN_TOKEN` if the caller's device has been deleted in the meantime
   */
  async holdDevices(
    tx: Tx,
    userId: string,
    device: RequesterDevice | null,
    named: readonly string[],
  ): Promise<Map<string, SignedJson>> {
    const deviceIds = [...new Set(device === null ? named : [device.deviceId, ...named])];
    const [, keys] = await tx.inOrder(
      () => this.devices.holdNamed(tx, userId, deviceIds, device),
      () => tx.query<{ deviceId: string; keys: SignedJson }>(HOLD_DEVICE_KEYS, [userId, deviceIds]),
    );
    return new Map(keys.map((row) => [row.deviceId, row.keys]));
  }

  /** Stores signatures and returns the targets of those that are new or changed. */
  sign(
    tx: Tx,
    signatures: readonly KeySignatureEntity[],
  ): Promise<Pick<KeySignatureEntity, 'userId' | 'target'>[]> {
    return tx.query(SIGN, [
      signatures.map(({ userId }) => userId),
      signatures.map(({ signerUserId }) => signerUserId),
      signatures.map(({ target }) => target),
      signatures.map(({ keyId }) => keyId),
      signatures.map(({ deviceId }) => deviceId),
      signatures.map(({ signature }) => signature),
    ]);
  }
}

function toKeySet(keys: readonly CrossSigningKey[]): KeySet {
  return new Map<KeyUsage, CrossSigningKey>(keys.map((key) => [key.usage, key]));
}
