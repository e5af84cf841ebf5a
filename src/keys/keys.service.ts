import { Injectable } from '@nestjs/common';
import type { RequesterDevice } from '../auth/requester.js';
import { Environment } from '../config/environment.js';
import type { Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { serverNameOf } from '../matrix/user-id.js';
import { isSameKey, toQuery, toUpload, type Upload } from './keys.rules.js';
import { type FoundDeviceKeys, KeysStore } from './keys.store.js';
import type { QueriedKeysDto, QueryKeysDto } from './query-keys.dto.js';
import type { UploadKeysDto } from './upload-keys.dto.js';

/** The public keys of devices. */
@Injectable()
export class KeysService {
  constructor(
    private readonly store: KeysStore,
    private readonly unitOfWork: UnitOfWork,
    private readonly environment: Environment,
  ) {}

  /**
   * Stores keys of the device and gives the number of one-time keys by algorithm. The second call with
   * the same keys changes nothing.
   * @throws {MatrixError} `M_BAD_JSON`; `M_INVALID_PARAM` when a one-time key's ID belongs to another key;
   *   `M_UNKNOWN_TOKEN` when the device was deleted meanwhile: no key outlives a logout
   */
  async upload(device: RequesterDevice, request: UploadKeysDto): Promise<Record<string, number>> {
    const upload = toUpload(request, device);
    return this.unitOfWork.run(async (tx) => {
      if (!(await this.store.holdDevice(tx, device))) throw MatrixError.unknownToken();
      await this.put(tx, device, upload);
      return this.store.countOneTimeKeys(tx, device);
    });
  }

  /** The identity keys of devices of this server's users. Whoever and whatever does not exist is left out. */
  async query({ device_keys }: QueryKeysDto): Promise<QueriedKeysDto> {
    const wanted = toQuery(device_keys);
    const { serverName } = this.environment;
    const local = [...wanted.keys()].filter((userId) => serverNameOf(userId) === serverName);
    const remote = [...wanted.keys()].map(serverNameOf).filter((name) => name !== '' && name !== serverName);
    const answer = new Map<string, [deviceId: string, keys: object][]>();
    for (const found of local.length === 0 ? [] : await this.store.query(local)) {
      const devices = answer.get(found.userId) ?? [];
      const asked = wanted.get(found.userId) ?? [];
      if (found.keys !== null && (asked.length === 0 || asked.includes(found.deviceId))) {
        devices.push([found.deviceId, toDeviceKeys(found)]);
      }
      answer.set(found.userId, devices);
    }
    return {
      device_keys: Object.fromEntries(
        [...answer].map(([userId, devices]) => [userId, Object.fromEntries(devices)]),
      ),
      failures: Object.fromEntries(remote.map((name) => [name, {}])),
    };
  }

  private async put(
    tx: Tx,
    device: RequesterDevice,
    { deviceKeys, oneTimeKeys, fallbackKeys }: Upload,
  ): Promise<void> {
    if (deviceKeys !== null) await this.store.putDeviceKeys(tx, device, deviceKeys);
    if (fallbackKeys.length > 0) await this.store.putFallbackKeys(tx, device, fallbackKeys);
    if (oneTimeKeys.length === 0) return;
    const stored = await this.store.addOneTimeKeys(tx, device, oneTimeKeys);
    const wanted = new Map(oneTimeKeys.map(({ algorithm, keyId, key }) => [`${algorithm}:${keyId}`, key]));
    const taken = stored.find(
      ({ algorithm, keyId, key }) => !isSameKey(key, wanted.get(`${algorithm}:${keyId}`)!),
    );
    if (taken !== undefined) {
      // Clients know this wording from other servers and report a lost key store when they meet it.
      throw MatrixError.invalidParam(`One time key ${taken.algorithm}:${taken.keyId} already exists`);
    }
  }
}

/** The keys as they were uploaded, with the name that everybody may see. */
function toDeviceKeys({ keys, displayName }: FoundDeviceKeys): object {
  return { ...keys, unsigned: displayName === null ? {} : { device_display_name: displayName } };
}
