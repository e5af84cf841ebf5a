import { Injectable } from '@nestjs/common';
import {
  deviceColumns,
  DevicesDeleted,
  InTransaction,
  type Statement,
  type Tx,
} from 'matrix-session-service';

const DELETE: Statement = {
  name: 'pushers_delete',
  text: `
    DELETE FROM pushers p USING unnest($1::text[], $2::text[]) AS gone (user_id, device_id)
    WHERE p.user_id = gone.user_id AND p.device_id = gone.device_id`,
};

/** Pushers go in the very transaction that ends their device, however it ends. */
@Injectable()
export class PushersListener {
  @InTransaction(DevicesDeleted)
  async onDevicesDeleted({ devices }: DevicesDeleted, tx: Tx): Promise<void> {
    await tx.query(DELETE, deviceColumns(devices));
  }
}
