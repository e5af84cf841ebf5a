import { Injectable } from '@nestjs/common';
import type { Requester } from '../../auth/requester.js';
import { TokenVerifier } from '../../auth/token-verifier.port.js';
import type { Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { DeviceRows } from '../../device-rows/device-rows.js';
import type { DeviceRef } from '../../events/devices-deleted.event.js';
import { SessionStore } from '../session.store.js';
import { TokenIssuer } from '../token-issuer.js';

/** Issues tokens that let another client of a user log in. */
@Injectable()
export class LoginTokenService {
  constructor(
    private readonly unitOfWork: UnitOfWork,
    private readonly store: SessionStore,
    private readonly tokens: TokenIssuer,
    private readonly callers: TokenVerifier,
    private readonly devices: DeviceRows,
  ) {}

  /**
   * Issues a token that lets another client of the user log in once, within `lifetimeMs`.
   * @param alongside work to do in the same transaction
   * @throws {MatrixError} `M_UNKNOWN_TOKEN` if the requester's session has ended in the meantime
   */
  async issue(
    requester: Requester,
    device: DeviceRef,
    lifetimeMs: number,
    alongside: (tx: Tx) => Promise<void>,
  ): Promise<string> {
    const { token, digest } = this.tokens.issue('mxl', requester.userId);
    await this.unitOfWork.run(async (tx) => {
      await tx.inOrder(
        () => this.devices.lock(tx, [device]),
        () => this.callers.requireAlive(tx, requester),
      );
      await this.store.insertLoginToken(tx, device, digest, new Date(tx.startedAt.getTime() + lifetimeMs));
      await alongside(tx);
    });
    return token;
  }
}
