import { Injectable } from '@nestjs/common';
import { AccountsService, requireActive, requireUnchanged } from '../../accounts/accounts.service.js';
import type { Requester } from '../../auth/requester.js';
import { TokenVerifier } from '../../auth/token-verifier.port.js';
import type { Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { isSignedWith, signaturesBy, signedBytes, type SignedJson } from '../../matrix/signed-json.js';
import { RateLimiter } from '../../rate-limits/rate-limiter.js';
import { type Authorised, type Operation, UiaService } from '../../uia/uia.service.js';
import { DeviceListsService } from '../device-lists/device-lists.service.js';
import type { NewChange } from '../device-lists/device-lists.rules.js';
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
  toKeySet,
} from './cross-signing.rules.js';
import { CrossSigningStore } from './cross-signing.store.js';
import type { KeySignatureEntity } from './key-signature.entity.js';

const FLOWS = [['m.login.password']];

/** What a client sends to upload cross-signing keys. */
export interface KeysUpload extends Pick<Operation, 'auth' | 'address'> {
  /** `master_key`, `self_signing_key` and `user_signing_key`, as far as they were sent. */
  readonly keys: Readonly<Record<string, unknown>>;
}

/** The keys with which users sign their devices and each other ("Cross-signing"). They outlive every device. */
@Injectable()
export class CrossSigningService {
  constructor(
    private readonly store: CrossSigningStore,
    private readonly deviceLists: DeviceListsService,
    private readonly accounts: AccountsService,
    private readonly uia: UiaService,
    private readonly unitOfWork: UnitOfWork,
    private readonly callers: TokenVerifier,
    private readonly limiter: RateLimiter,
  ) {}

  /**
   * Stores the user's keys. The second call with the same keys changes nothing. A new master key retires the other
   * two unless they come with it.
   * @throws {UiaChallenge} for a change of existing keys; application services need no proof
   * @throws {MatrixError} `M_INVALID_PARAM`, `M_MISSING_PARAM`, `M_INVALID_SIGNATURE`; `M_FORBIDDEN` for a key that
   *   is also the ID of a device; `M_UNKNOWN_TOKEN` if the device has been deleted in the meantime
   */
  async upload(requester: Requester, upload: KeysUpload): Promise<void> {
    const { userId, isAppservice } = requester;
    const uploaded = toKeySet(userId, upload.keys, this.store.limits.crossSigningKeyBytes);
    const isProofNeeded = async () =>
      // Only an answer to a challenge may leave the keys out.
      uploaded.size === 0
        ? typeof upload.auth?.['session'] === 'string'
        : needsProof(await this.store.findCurrent(userId), uploaded);
    if (!isAppservice && (await isProofNeeded())) await this.uploadProven(requester, upload);
    // Other keys may have been stored in the meantime. Then these would replace them, and a proof is needed after
    // all.
    else if (!(await this.put(requester, uploaded, null))) await this.uploadProven(requester, upload);
  }

  private async uploadProven(requester: Requester, { keys, auth, address }: KeysUpload): Promise<void> {
    const { userId, device } = requester;
    await this.limiter.count('challenge', address);
    const proof = await this.uia.authorise({
      name: 'POST /keys/device_signing/upload',
      userId,
      deviceId: device?.deviceId ?? null,
      flows: FLOWS,
      parameters: keys,
      isFixed: true,
      auth,
      address,
    });
    // The answer need not repeat the keys that the user was asked about, and cannot change them.
    const keysAsked = proof.parameters as SignedJson;
    const { crossSigningKeyBytes } = this.store.limits;
    await this.put(requester, toKeySet(userId, keysAsked, crossSigningKeyBytes), proof);
  }

  /** Returns `false`, and changes nothing, if a proof is needed and there is none. */
  private put(requester: Requester, uploaded: KeySet, proof: Authorised | null): Promise<boolean> {
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
