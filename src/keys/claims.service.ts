import { Injectable } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import type { SharedWork } from '../database/shared-work.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { deviceKey, type DeviceRef } from '../events/devices-deleted.event.js';
import { nest } from '../matrix/json.js';
import { RateLimiter } from '../rate-limits/rate-limiter.js';
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
   * device that has no one-time key left gives its fallback key; one that has neither is left out.
   * @throws {MatrixError} `M_BAD_JSON`
   */
  async claim({ one_time_keys }: ClaimKeysDto): Promise<ClaimedKeysDto> {
    const { local, failures } = byServer(Object.keys(one_time_keys), this.environment.serverName);
    const isLocal = new Set(local);
    const wanted = toWantedKeys(one_time_keys)
      .filter(({ userId }) => isLocal.has(userId))
      .toSorted(byName);
    const spared = await this.spare(wanted);
    const keys = await this.take(without(wanted, spared));
    await Promise.all(keys.map((key) => this.limiter.tally('keys_claimed', deviceKey(key))));
    const served = [...spared, ...keys];
    const others = without(wanted, served);
    const claimed = others.length === 0 ? served : [...served, ...(await this.useFallbackKeys(others))];
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
    if (wanted.length <= FEW) return this.claims.together(wanted);
    const claimed: ClaimedKey[] = [];
    for (const some of chunksOf(wanted, CLAIMED_TOGETHER)) claimed.push(...(await this.claims.alone(some)));
    return claimed;
  }

  /** Fallback keys for devices of which much was claimed: nobody is to empty a device that has one. */
  private async spare(wanted: readonly WantedKey[]): Promise<ClaimedKey[]> {
    const isUsedUp = await Promise.all(
      wanted.map((one) => this.limiter.isUsedUp('keys_claimed', deviceKey(one))),
    );
    const usedUp = wanted.filter((_, at) => isUsedUp[at]);
    return usedUp.length === 0 ? [] : this.useFallbackKeys(usedUp);
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
