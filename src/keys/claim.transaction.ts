import { Injectable } from '@nestjs/common';
import type { SharedTransaction } from '../database/shared-transaction.js';
import type { Tx } from '../database/tx.js';
import type { WantedKey } from './keys.rules.js';
import { type ClaimedKey, KeysStore } from './keys.store.js';

type Claim = readonly WantedKey[];

/** Takes the oldest one-time key for each of the wanted keys. Those for which there is none are left out. */
@Injectable()
export class ClaimTransaction implements SharedTransaction<
  Claim,
  ReadonlyMap<Claim, ClaimedKey[]>,
  ClaimedKey[]
> {
  readonly name = 'keys_claim';

  constructor(private readonly store: KeysStore) {}

  userOf([first]: Claim): string {
    return first!.userId;
  }

  /** The statement that locks the keys also takes them. */
  lock(tx: Tx, claims: readonly Claim[]): Promise<ReadonlyMap<Claim, ClaimedKey[]>> {
    return this.store.claim(tx, claims);
  }

  decide(claim: Claim, taken: ReadonlyMap<Claim, ClaimedKey[]>): ClaimedKey[] {
    return taken.get(claim)!;
  }
}
