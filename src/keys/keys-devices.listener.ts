import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/tx.js';
import { AccountDeactivated } from '../events/account-deactivated.event.js';
import { DeviceCreated } from '../events/device-created.event.js';
import { DeviceRenamed } from '../events/device-renamed.event.js';
import { DevicesDeleted } from '../events/devices-deleted.event.js';
import { InTransaction } from '../events/in-transaction.decorator.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { isPublicKey } from '../matrix/signed-json.js';
import { CrossSigningStore } from './cross-signing/cross-signing.store.js';
import { DeviceListsService } from './device-lists/device-lists.service.js';
import { Metrics } from '../metrics/metrics.js';
import { KeysStore, TABLES } from './keys.store.js';

const DELETED = {
  name: 'session_keys_deleted_total',
  help: 'Keys and signatures that were deleted with their devices, by kind.',
  labelNames: ['kind'],
};

/** Updates keys and device lists in the transaction that changes the device or the account. */
@Injectable()
export class KeysDevicesListener {
  constructor(
    private readonly store: KeysStore,
    private readonly crossSigning: CrossSigningStore,
    private readonly deviceLists: DeviceListsService,
    private readonly metrics: Metrics,
  ) {
    metrics.addCounter(DELETED);
    for (const kind of TABLES) metrics.count(DELETED.name, { kind }, 0);
  }

  /** Devices and keys share one namespace ("Cross-signing"), so that a verifier knows what a name refers to. */
  @InTransaction(DeviceCreated)
  async onDeviceCreated({ userId, deviceId }: DeviceCreated, tx: Tx): Promise<void> {
    const [isKey] = await tx.inOrder(
      () => isPublicKey(deviceId) && this.crossSigning.isKey(tx, userId, deviceId),
      () => this.deviceLists.record(tx, [{ userId, deviceId, change: 'device_created' }]),
    );
    if (isKey) throw MatrixError.forbidden('This device ID is that of a cross-signing key of the user');
  }

  @InTransaction(DeviceRenamed)
  async onDeviceRenamed({ userId, deviceId }: DeviceRenamed, tx: Tx): Promise<void> {
    await this.deviceLists.record(tx, [{ userId, deviceId, change: 'device_renamed' }]);
  }

  /** Deletes the cross-signing keys: nobody can use them any more, or should see them ("Account deactivation"). */
  @InTransaction(AccountDeactivated)
  async onAccountDeactivated({ userId }: AccountDeactivated, tx: Tx): Promise<void> {
    if (await this.crossSigning.deleteAll(tx, userId))
      await this.deviceLists.record(tx, [{ userId, change: 'cross_signing_keys' }]);
  }

  @InTransaction(DevicesDeleted)
  async onDevicesDeleted({ devices }: DevicesDeleted, tx: Tx): Promise<void> {
    const changes = devices.map(({ userId, deviceId }) => ({
      userId,
      deviceId,
      change: 'device_deleted' as const,
    }));
    const [deleted] = await tx.inOrder(
      () => this.store.deleteOfDevices(tx, devices),
      () => this.deviceLists.record(tx, changes),
    );
    tx.afterCommit(() => {
      for (const [kind, count] of Object.entries(deleted)) this.metrics.count(DELETED.name, { kind }, count);
    });
  }
}
