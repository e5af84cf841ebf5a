import { Injectable } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import type { SharedWork } from '../database/shared-work.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { deviceKey, type DeviceRef } from '../events/devices-deleted.event.js';
import { nest } from '../matrix/json.js';
import { RateLimiter } from '../admission/rate-limiter.js';
import type { ClaimedKeysDto, ClaimKeysDto } from './claim-keys.dto.js';
import { ClaimTransaction } from './claim.transaction.js';
import { byName, byServer, toWantedKeys, type WantedKey } from './keys.rules.js';
import { chunksOf, type ClaimedKey, KeysStore } from './keys.store.js';

/** A claim of so few keys shares its transaction. */
const FEW = 10;
/** Devices from which one transaction takes keys. */
const CLAIMED_TOGETHER = 500;

/** Hands out the one-time keys of devices, each of them once. */
@Injectable()
export class ClaimsService {
  private readonly claims: SharedWork<readonly WantedKey[], ClaimedKey[]>;

  constructor(
    private readonly store: KeysStore,
    private readonly unitOfWork: UnitOfWork,
    private readonly environment: Environment,
    private readonly limiter: RateLimiter,
    claim: ClaimTransaction,
  ) {
    this.claims = unitOfWork.share(claim);
  }

  /**
   * Takes one key of each device, the oldest, for the caller alone: no key is given out twice, whoever asks when. A
   * device that has no one-time key left, or of which many were claimed just now, gives its fallback key; one that has
   * none is left out.
   * @throws {MatrixError} `M_BAD_JSON`
   */
  async claim({ one_time_keys }: ClaimKeysDto): Promise<ClaimedKeysDto> {
    const { local, failures } = byServer(Object.keys(one_time_keys), this.environment.serverName);
    const isLocal = new Set(local);
    const wanted = toWantedKeys(one_time_keys, this.environment.limits)
      .filter(({ userId }) => isLocal.has(userId))
      .toSorted(byName);
    const keys = await this.take(await this.withinLimit(wanted));
    await Promise.all(keys.map((key) => this.limiter.tally('keys_claimed', deviceKey(key))));
    const claimed = [...keys, ...(await this.useFallbackKeys(without(wanted, keys)))];
    return {
      failures,
      one_time_keys: nest(
        claimed.map(({ userId, deviceId, algorithm, keyId, key }) => [
          userId,
          deviceId,
          { [`${algorithm}:${keyId}`]: key },
        ]),
      ),
    };
  }

  /** Claims that come at the same time share a transaction. A large one has several, one after the other. */
  private async take(wanted: readonly WantedKey[]): Promise<ClaimedKey[]> {
    if (wanted.length === 0) return [];
    if (wanted.length <= FEW) return this.claims.together(wanted);
    const claimed: ClaimedKey[] = [];
    for (const some of chunksOf(wanted, CLAIMED_TOGETHER)) claimed.push(...(await this.claims.alone(some)));
    return claimed;
  }

  /** Those of devices of which not too many keys were claimed: nobody is to empty a device. */
  private async withinLimit(wanted: readonly WantedKey[]): Promise<WantedKey[]> {
    const isUsedUp = await Promise.all(
      wanted.map((one) => this.limiter.isUsedUp('keys_claimed', deviceKey(one))),
    );
    return wanted.filter((_, at) => !isUsedUp[at]);
  }

  private async useFallbackKeys(wanted: readonly WantedKey[]): Promise<ClaimedKey[]> {
    const keys: ClaimedKey[] = [];
    for (const some of chunksOf(wanted, CLAIMED_TOGETHER))
      keys.push(...(await this.unitOfWork.run((tx) => this.store.useFallbackKeys(tx, some))));
    return keys;
  }
}

function without(wanted: readonly WantedKey[], served: readonly DeviceRef[]): WantedKey[] {
  const names = new Set(served.map(deviceKey));
  return wanted.filter((one) => !names.has(deviceKey(one)));
}
