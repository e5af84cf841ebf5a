import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/tx.js';
import { DevicesDeleted } from '../events/devices-deleted.event.js';
import { InTransaction } from '../events/in-transaction.decorator.js';
import { KeysStore } from './keys.store.js';

/** The keys of a device go with it, in the transaction that deletes it. */
@Injectable()
export class KeysDevicesListener {
  constructor(private readonly store: KeysStore) {}

  @InTransaction(DevicesDeleted)
  async onDevicesDeleted({ devices }: DevicesDeleted, tx: Tx): Promise<void> {
    await this.store.deleteOfDevices(tx, devices);
  }
}
