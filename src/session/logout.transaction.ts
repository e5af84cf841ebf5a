import { Injectable } from '@nestjs/common';
import type { RequesterDevice } from '../auth/requester.js';
import type { SharedTransaction } from '../database/shared-transaction.js';
import type { Tx } from '../database/tx.js';
import { DeviceRows } from '../device-rows/device-rows.js';
import { type DeletedDevice, deviceKey } from '../events/devices-deleted.event.js';
import { originsByDevice } from '../events/origins.js';
import type { Origin } from '../matrix/client-origin.decorator.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { EndingService } from './ending/ending.service.js';
import { SessionStore } from './session.store.js';

/** One request to end a session. */
export interface Logout {
  readonly tokenDigest: Buffer;
  readonly device: RequesterDevice;
  readonly origin: Origin;
}

/**
 * Ends a session: deletes its tokens, its device and everything that belongs to the device in one commit. The
 * deletion is sent without waiting for the check that the token is still alive, which completes before the commit.
 */
@Injectable()
export class LogoutTransaction implements SharedTransaction<Logout, ReadonlySet<string>, void> {
  readonly name = 'logout';

  constructor(
    private readonly store: SessionStore,
    private readonly endings: EndingService,
    private readonly devices: DeviceRows,
  ) {}

  userOf({ device }: Logout): string {
    return device.userId;
  }

  async lock(tx: Tx, logouts: readonly Logout[]): Promise<ReadonlySet<string>> {
    const tokens = logouts.map(({ device: { userId }, tokenDigest }) => ({ userId, tokenDigest }));
    const [, live] = await tx.inOrder(
      () =>
        this.devices.lock(
          tx,
          logouts.map(({ device }) => device),
        ),
      () => this.store.findLive(tx, tokens),
    );
    return live;
  }

  async ahead(tx: Tx, logouts: readonly Logout[]): Promise<void> {
    const origins = originsByDevice(logouts.map(({ device, origin }) => [device, origin]));
    await this.endings.end(tx, devicesOf(logouts), { reason: 'logout', origins });
  }

  decide({ tokenDigest }: Logout, live: ReadonlySet<string>): void {
    if (!live.has(tokenDigest.toString('base64'))) throw MatrixError.unknownToken();
  }
}

function devicesOf(logouts: readonly Logout[]): DeletedDevice[] {
  const devices = logouts.map(
    ({ device: { userId, deviceId, createdAt } }) =>
      [deviceKey({ userId, deviceId }), { userId, deviceId, createdTs: createdAt.getTime() }] as const,
  );
  return [...new Map(devices).values()];
}
