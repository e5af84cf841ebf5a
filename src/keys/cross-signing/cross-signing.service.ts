import { Injectable } from '@nestjs/common';
import { RateLimiter } from '../../admission/rate-limiter.js';
import type { Requester } from '../../auth/requester.js';
import type { SignedJson } from '../../matrix/signed-json.js';
import { type Operation, CROSS_SIGNING_RESET, CROSS_SIGNING_UPLOAD } from '../../uia/uia-operation.js';
import { UiaService } from '../../uia/uia.service.js';
import { CrossSigningKeys } from './cross-signing-keys.js';
import { needsProof, toKeySet } from './cross-signing.rules.js';
import { CrossSigningStore } from './cross-signing.store.js';

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
    private readonly keys: CrossSigningKeys,
    private readonly uia: UiaService,
    private readonly limiter: RateLimiter,
  ) {}

  /**
   * Stores the user's keys. A second call with the same keys changes nothing. A new master key retires the other
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
    // Other keys may have been stored in the meantime. These keys would replace them, so a proof is needed after all.
    else if (!(await this.keys.put(requester, uploaded, null))) await this.uploadProven(requester, upload);
  }

  private async uploadProven(requester: Requester, { keys, auth, address }: KeysUpload): Promise<void> {
    const { userId, device } = requester;
    // Clients repeat the call every half a second until the user has agreed on the page.
    if (!requester.isOAuth) await this.limiter.count('challenge', address);
    const proof = await this.uia.authorise({
      name: CROSS_SIGNING_UPLOAD,
      userId,
      deviceId: device?.deviceId ?? null,
      flows: FLOWS,
      parameters: keys,
      isFixed: true,
      action: requester.isOAuth ? CROSS_SIGNING_RESET : null,
      auth,
      address,
    });
    // The answer need not repeat the keys that the user was asked about, and cannot change them.
    const keysAsked = proof.parameters as SignedJson;
    const { crossSigningKeyBytes } = this.store.limits;
    await this.keys.put(requester, toKeySet(userId, keysAsked, crossSigningKeyBytes), proof);
  }
}
