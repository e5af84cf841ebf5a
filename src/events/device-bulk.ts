import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/tx.js';
import type { DeviceRef } from './devices-deleted.event.js';

/** Rows that hang on devices and may be very many. */
export interface BulkSource {
  /** How many rows the devices of a user have, as far as `limit`. */
  count(tx: Tx, userId: string, limit: number): Promise<number>;
  /** Deletes rows of these devices, which are locked, `limit` at the most; says how many. */
  removeSome(tx: Tx, devices: readonly DeviceRef[], limit: number): Promise<number>;
}

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
    const counts = await tx.inOrder(...this.sources.map((source) => () => source.count(tx, userId, limit)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /**
   * Removes rows of these devices, which are locked, `limit` of each kind at the most; says whether there may be
   * more.
   */
  async removeSome(tx: Tx, devices: readonly DeviceRef[], limit: number): Promise<boolean> {
    const counts = await tx.inOrder(
      ...this.sources.map((source) => () => source.removeSome(tx, devices, limit)),
    );
    return counts.some((count) => count === limit);
  }
}
