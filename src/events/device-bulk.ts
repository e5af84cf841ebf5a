import { Injectable } from '@nestjs/common';
import { settle, type Tx } from '../database/tx.js';
import type { DeviceRef } from './devices-deleted.event.js';

/** Rows that hang on devices and may be very many. */
export interface BulkSource {
  /** How many rows the devices of a user have, as far as `limit`. */
  count(tx: Tx, userId: string, limit: number): Promise<number>;
  /** Deletes rows of these devices, `limit` at the most, in a transaction of its own; says how many. */
  removeSome(devices: readonly DeviceRef[], limit: number): Promise<number>;
}

const BATCH = 5_000;

/**
 * What may be too much to go with its device in one transaction. Rooms that have such rows register them; whoever ends
 * devices in steps has them removed first.
 */
@Injectable()
export class DeviceBulk {
  private readonly sources: BulkSource[] = [];

  add(source: BulkSource): void {
    this.sources.push(source);
  }

  /** How many rows the devices of a user have, as far as `limit`. */
  async count(tx: Tx, userId: string, limit: number): Promise<number> {
    const counts = await settle(this.sources.map((source) => source.count(tx, userId, limit)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Removes all of it, batch by batch; the devices stay. */
  async remove(devices: readonly DeviceRef[]): Promise<void> {
    for (const source of this.sources) while ((await source.removeSome(devices, BATCH)) === BATCH);
  }
}
