import { Injectable } from '@nestjs/common';
import type { Requester, RequesterDevice } from '../../auth/requester.js';
import type { Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { nest } from '../../matrix/json.js';
import { type Errcode, MatrixError } from '../../matrix/matrix-error.js';
import {
  isSameUnsigned,
  isSignedWith,
  signaturesBy,
  signedBytes,
  type SignedJson,
} from '../../matrix/signed-json.js';
import { DeviceListsService } from '../device-lists/device-lists.service.js';
import type { NewChange } from '../device-lists/device-lists.rules.js';
import { deviceNamed, ed25519, invalidSignature, type KeySet, publicKeyOf } from './cross-signing.rules.js';
import { CrossSigningStore } from './cross-signing.store.js';
import type { KeySignatureEntity } from './key-signature.entity.js';
import { type SignedItem, toSignedItems } from './signatures.rules.js';

/** Why a signature was not stored. */
export interface Failure {
  readonly errcode: Errcode;
  readonly error: string;
}

/** Failures by user, and by device ID or public key. */
export type Failures = Record<string, Record<string, Failure>>;

/**
 * The keys that the signatures of a request are checked against. None of them changes before its transaction ends.
 */
interface Held {
  /** The user who signs. */
  readonly userId: string;
  /** Identity keys of the signer's devices. */
  readonly devices: ReadonlyMap<string, SignedJson>;
  /** Cross-signing keys of the signer and of the users whose keys are signed. */
  readonly keys: ReadonlyMap<string, KeySet>;
}

/** Stores the signatures over devices and cross-signing keys that users make when they verify each other. */
@Injectable()
export class SignaturesService {
  constructor(
    private readonly store: CrossSigningStore,
    private readonly deviceLists: DeviceListsService,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  /**
   * Stores the valid signatures and returns why the others were refused. Users sign their own devices (with the
   * self-signing key), their own master key (with devices) and the master keys of others (with the user-signing key).
   * A second call changes nothing; a new signature by the same key replaces the old one.
   * @throws {MatrixError} `M_BAD_JSON`; `M_UNKNOWN_TOKEN` if the device has been deleted in the meantime
   */
  async upload({ userId, device }: Requester, body: object): Promise<Failures> {
    const items = toSignedItems(body, this.store.limits.signedObjects);
    return this.unitOfWork.run(async (tx) => {
      const held = await this.hold(tx, userId, device, items);
      const failures: [userId: string, name: string, failure: Failure][] = [];
      const signatures: KeySignatureEntity[] = [];
      for (const item of items) {
        try {
          signatures.push(...(await judge(item, held)));
        } catch (error) {
          if (!(error instanceof MatrixError)) throw error;
          const { errcode, message } = error;
          failures.push([item.userId, item.name, { errcode, error: message }]);
        }
      }
      const changes = (await this.store.sign(tx, signatures)).map((signed) => toChange(signed, held));
      if (changes.length > 0) await this.deviceLists.record(tx, changes);
      return nest(failures);
    });
  }

  private async hold(
    tx: Tx,
    userId: string,
    device: RequesterDevice | null,
    items: readonly SignedItem[],
  ): Promise<Held> {
    const own = items.filter((item) => item.userId === userId);
    const signers = own.flatMap(({ object }) => [...signaturesBy(object, userId).keys()].map(deviceNamed));
    const named = [...own.map(({ name }) => name), ...signers];
    const devices = await this.store.holdDevices(tx, userId, device, named);
    const users = new Set([userId, ...items.map((item) => item.userId)]);
    return { userId, devices, keys: await this.store.holdCurrent(tx, [...users]) };
  }
}

/**
 * Returns the valid signatures of an item.
 * @throws {MatrixError} if there is none, or an invalid one
 */
async function judge({ userId, name, object }: SignedItem, held: Held): Promise<KeySignatureEntity[]> {
  const isOwn = userId === held.userId;
  const { publicKey: masterName, key: master } = held.keys.get(userId)!.get('master') ?? {};
  const device = isOwn ? held.devices.get(name) : undefined;
  const target = name === masterName ? master : device;
  if (target === undefined) throw MatrixError.notFound('There is no such device or master key to sign');
  if (!isSameUnsigned(target, object)) throw invalidSignature('The server has another key under this name');
  const usage = isOwn ? 'self_signing' : 'user_signing';
  const signer = held.keys.get(held.userId)!.get(usage)?.publicKey;
  const good: KeySignatureEntity[] = [];
  const signed = signedBytes(object);
  for (const [keyId, signature] of signaturesBy(object, held.userId)) {
    const signsMaster = isOwn && target === master;
    const publicKey = signsMaster
      ? publicKeyOf(held.devices.get(deviceNamed(keyId)), keyId)
      : signer !== undefined && keyId === ed25519(signer)
        ? signer
        : null;
    if (publicKey === null) continue;
    if (!(await isSignedWith(signed, publicKey, signature)))
      throw invalidSignature(`The signature of ${keyId} is not valid`);
    const deviceId = signsMaster ? deviceNamed(keyId) : isOwn ? name : null;
    good.push({ userId, signerUserId: held.userId, target: name, keyId, deviceId, signature });
  }
  if (good.length === 0) throw invalidSignature('There is no signature of a key that may sign this');
  return good;
}

function toChange(signed: Pick<KeySignatureEntity, 'userId' | 'target'>, held: Held): NewChange {
  const { userId } = held;
  if (signed.userId !== userId) return { userId, change: 'user_signed', signedUserId: signed.userId };
  return held.devices.has(signed.target)
    ? { userId, change: 'device_signed', deviceId: signed.target }
    : { userId, change: 'cross_signing_keys' };
}
