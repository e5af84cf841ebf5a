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

/** A claim for at most this many keys may share its transaction with others. */
const FEW = 10;
/** The maximum number of devices from which one transaction takes keys. */
const CLAIMED_TOGETHER = 500;

/** Hands out the one-time keys of devices. Each key is handed out only once. */
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
   * Takes the oldest one-time key of each device for the caller. No one-time key is handed out twice, not even to
   * concurrent claims. If a device has no one-time key left, or too many of its keys were claimed recently, the
   * caller gets its fallback key instead. A device without a fallback key is then left out.
   * @throws {MatrixError} `M_BAD_JSON`; `M_INVALID_PARAM` for too many devices
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

  /**
   * Small claims that arrive at the same time share a transaction. A large claim uses several, one after the other.
   */
  private async take(wanted: readonly WantedKey[]): Promise<ClaimedKey[]> {
    if (wanted.length === 0) return [];
    if (wanted.length <= FEW) return this.claims.together(wanted);
    const claimed: ClaimedKey[] = [];
    for (const some of chunksOf(wanted, CLAIMED_TOGETHER)) claimed.push(...(await this.claims.alone(some)));
    return claimed;
  }

  /**
   * Leaves out devices of which too many keys were claimed recently, so that nobody can claim all keys of a device.
   */
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
