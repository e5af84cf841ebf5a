import { Injectable } from '@nestjs/common';
import { AccountsService, requireActive, requireUnchanged } from '../../accounts/accounts.service.js';
import type { Requester } from '../../auth/requester.js';
import { TokenVerifier } from '../../auth/token-verifier.port.js';
import type { Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { isSignedWith, signaturesBy, signedBytes, type SignedJson } from '../../matrix/signed-json.js';
import type { Authorised } from '../../uia/uia-operation.js';
import type { NewChange } from '../device-lists/device-lists.rules.js';
import { DeviceListsService } from '../device-lists/device-lists.service.js';
import {
  deviceNamed,
  ed25519,
  invalidSignature,
  isCurrent,
  type KeySet,
  needsProof,
  publicKeyOf,
  requireMasterSignatures,
  retiredBy,
} from './cross-signing.rules.js';
import { CrossSigningStore } from './cross-signing.store.js';
import type { KeySignatureEntity } from './key-signature.entity.js';

/** Stores uploaded cross-signing keys: one transaction for each upload. */
@Injectable()
export class CrossSigningKeys {
  constructor(
    private readonly store: CrossSigningStore,
    private readonly deviceLists: DeviceListsService,
    private readonly accounts: AccountsService,
    private readonly unitOfWork: UnitOfWork,
    private readonly callers: TokenVerifier,
  ) {}

  /** Returns `false`, and changes nothing, if a proof is needed and there is none. */
  put(requester: Requester, uploaded: KeySet, proof: Authorised | null): Promise<boolean> {
    const { userId, device, isAppservice } = requester;
    return this.unitOfWork.run(async (tx) => {
      const account = await this.accounts.lock(tx, userId);
      requireActive(account);
      requireUnchanged(account, proof?.credential ?? null);
      await this.callers.requireAlive(tx, requester);
      const devices = await this.store.holdDevices(tx, userId, device, signersOf(userId, uploaded));
      const stored = (await this.store.holdCurrent(tx, [userId])).get(userId)!;
      if (proof === null && !isAppservice && needsProof(stored, uploaded)) return false;
      await requireMasterSignatures(userId, stored, uploaded);
      const changes = [
        ...(await this.replace(tx, userId, stored, uploaded)),
        ...(await this.sign(tx, userId, { stored, uploaded, devices })),
      ];
      const kinds = [...new Set(changes)];
      if (kinds.length > 0)
        await this.deviceLists.record(
          tx,
          kinds.map((change) => ({ userId, change })),
        );
      return true;
    });
  }

  private async replace(
    tx: Tx,
    userId: string,
    stored: KeySet,
    uploaded: KeySet,
  ): Promise<NewChange['change'][]> {
    const fresh = [...uploaded.values()].filter((key) => !isCurrent(stored, key));
    if (fresh.length === 0) return [];
    const names = fresh.map(({ publicKey }) => publicKey);
    if ((await this.store.findDevicesCalled(tx, userId, names)).length > 0)
      throw MatrixError.forbidden('A device of the user has the public key for its ID');
    const retired = retiredBy(stored, uploaded);
    await this.store.retire(
      tx,
      userId,
      retired.map(({ publicKey }) => publicKey),
    );
    for (const key of fresh) await this.store.put(tx, userId, key);
    return [...fresh, ...retired].map(({ usage }) =>
      usage === 'user_signing' ? 'user_signing_key' : 'cross_signing_keys',
    );
  }

  /**
   * Stores the signatures that came with the keys: those by the master key, and those by devices over the master key.
   */
  private async sign(
    tx: Tx,
    userId: string,
    {
      stored,
      uploaded,
      devices,
    }: { stored: KeySet; uploaded: KeySet; devices: ReadonlyMap<string, SignedJson> },
  ): Promise<NewChange['change'][]> {
    const master = uploaded.get('master') ?? stored.get('master');
    const signatures: KeySignatureEntity[] = [];
    for (const { usage, publicKey: target, key } of uploaded.values()) {
      const signed = signedBytes(key);
      for (const [keyId, signature] of signaturesBy(key, userId)) {
        const device = usage === 'master' ? devices.get(deviceNamed(keyId)) : undefined;
        const signer = keyId === ed25519(master!.publicKey) ? master!.publicKey : publicKeyOf(device, keyId);
        // Skip a signature that nobody can check.
        if (signer === null) continue;
        if (!(await isSignedWith(signed, signer, signature)))
          throw invalidSignature(`The signature of ${keyId} over ${usage}_key is not valid`);
        const deviceId = device === undefined ? null : deviceNamed(keyId);
        signatures.push({ userId, signerUserId: userId, target, keyId, deviceId, signature });
      }
    }
    const changed = await this.store.sign(tx, signatures);
    return changed.some(({ target }) => target === master?.publicKey) ? ['cross_signing_keys'] : [];
  }
}

/** Which devices may have signed the uploaded master key. */
function signersOf(userId: string, uploaded: KeySet): string[] {
  const master = uploaded.get('master');
  return master === undefined ? [] : [...signaturesBy(master.key, userId).keys()].map(deviceNamed);
}
