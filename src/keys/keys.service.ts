import { Injectable } from '@nestjs/common';
import { requireFew, tooLarge } from '../admission/bounds.rules.js';
import { AccountsService } from '../accounts/accounts.service.js';
import type { RequesterDevice } from '../auth/requester.js';
import type { Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { DeviceRows } from '../device-rows/device-rows.js';
import type { Json } from '../matrix/json.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { isSameJson, isSameUnsigned } from '../matrix/signed-json.js';
import { DeviceListsService } from './device-lists/device-lists.service.js';
import { isSameKey, nameOf, type StoredKey, toUpload, type Upload } from './keys.rules.js';
import { KeysStore } from './keys.store.js';
import type { UploadKeysDto } from './upload-keys.dto.js';

/** Stores the public keys of devices. */
@Injectable()
export class KeysService {
  constructor(
    private readonly store: KeysStore,
    private readonly deviceLists: DeviceListsService,
    private readonly unitOfWork: UnitOfWork,
    private readonly accounts: AccountsService,
    private readonly devices: DeviceRows,
  ) {}

  /**
   * Stores keys of the device and returns the number of its unclaimed one-time keys by algorithm. If the identity
   * keys differ from the stored ones, the one-time and fallback keys of the old identity are deleted. A second call
   * with the same keys changes nothing; a one-time key that was claimed in between is not handed out again.
   * @throws {MatrixError} `M_BAD_JSON`; `M_INVALID_PARAM` if the ID of a one-time key belongs to another key, or if
   *   there are too many keys; `M_TOO_LARGE` if the keys have too many bytes; `M_UNKNOWN_TOKEN` if the device has
   *   been deleted in the meantime, because no key outlives a logout
   */
  async upload(device: RequesterDevice, request: UploadKeysDto): Promise<Record<string, number>> {
    const upload = toUpload(request, device, this.store.limits);
    return this.unitOfWork.run(async (tx) => {
      const [, counts] = await tx.inOrder(
        () => this.put(tx, device, upload),
        () => this.store.countOneTimeKeys(tx, device),
      );
      return counts;
    });
  }

  private async put(
    tx: Tx,
    device: RequesterDevice,
    { deviceKeys, oneTimeKeys, fallbackKeys }: Upload,
  ): Promise<void> {
    const isCounted = deviceKeys !== null || oneTimeKeys.length > 0 || fallbackKeys.length > 0;
    await tx.inOrder(
      // The limit is on the identity keys of all devices of the user, so these uploads lock the account.
      deviceKeys === null ? undefined : () => this.accounts.lock(tx, device.userId),
      // Uploads that are counted run one after the other, so each sees the keys that the previous one stored.
      () => (isCounted ? this.devices.lockCaller(tx, device) : this.devices.holdCaller(tx, device)),
      deviceKeys === null ? undefined : () => this.store.forgetOtherIdentity(tx, device, deviceKeys),
      () => this.putFallbackKeys(tx, device, fallbackKeys),
      () => this.putOneTimeKeys(tx, device, oneTimeKeys),
      () => this.putDeviceKeys(tx, device, deviceKeys),
    );
  }

  private async putFallbackKeys(tx: Tx, device: RequesterDevice, keys: readonly StoredKey[]): Promise<void> {
    if (keys.length === 0) return;
    const count = await this.store.putFallbackKeys(tx, device, keys);
    requireFew('LIMIT_FALLBACK_KEYS', 'fallback keys on a device', count, this.store.limits.fallbackKeys);
  }

  private async putOneTimeKeys(tx: Tx, device: RequesterDevice, keys: readonly StoredKey[]): Promise<void> {
    if (keys.length === 0) return;
    const { known, refusal } = await this.store.addOneTimeKeys(tx, device, keys);
    if (refusal !== null && known.length < keys.length) {
      // Keys that are stored already do not count towards the limit again.
      const names = new Set(known.map(nameOf));
      const fresh = keys.filter((key) => !names.has(nameOf(key)));
      const second =
        fresh.length < keys.length ? await this.store.addOneTimeKeys(tx, device, fresh) : { refusal };
      if (second.refusal !== null) throw second.refusal;
    }
    if (known.length === 0) return;
    const uploaded = new Map(keys.map((key) => [nameOf(key), key.key]));
    const taken = known.find((one) => !isSameKey(one.key, uploaded.get(nameOf(one))!));
    if (taken !== undefined) {
      // Clients know this wording from other servers and report a lost key store when they meet it.
      throw MatrixError.invalidParam(`One time key ${nameOf(taken)} already exists`);
    }
  }

  private async putDeviceKeys(tx: Tx, device: RequesterDevice, keys: Json | null): Promise<void> {
    if (keys === null) return;
    const { userId, deviceId } = device;
    const { userKeysBytes } = this.store.limits;
    const { keys: stored, othersBytes } = await this.store.findDeviceKeys(tx, device);
    if (stored !== null && isSameJson(stored, keys)) return;
    if (othersBytes + Buffer.byteLength(JSON.stringify(keys)) > userKeysBytes)
      throw tooLarge(
        'LIMIT_USER_KEYS',
        `The keys of all devices of a user may have at most ${userKeysBytes} bytes`,
      );
    await this.store.putDeviceKeys(tx, device, keys);
    // The signed keys no longer exist, and signatures that were made with them cannot be checked any more.
    if (stored !== null && !isSameUnsigned(stored, keys)) await this.store.deleteSignatures(tx, device);
    await this.deviceLists.record(tx, [{ userId, deviceId, change: 'device_keys' }]);
  }
}
