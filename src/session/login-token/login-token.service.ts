import { Injectable } from '@nestjs/common';
import { AccountsService } from '../../accounts/accounts.service.js';
import type { Requester } from '../../auth/requester.js';
import { TokenVerifier } from '../../auth/token-verifier.port.js';
import type { Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { DeviceRows } from '../../device-rows/device-rows.js';
import type { DeviceRef } from '../../events/devices-deleted.event.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { SessionStore } from '../session.store.js';
import { TokenIssuer } from '../token-issuer.js';

/** Tokens with which another client of a user logs in. */
@Injectable()
export class LoginTokenService {
  constructor(
    private readonly unitOfWork: UnitOfWork,
    private readonly store: SessionStore,
    private readonly tokens: TokenIssuer,
    private readonly accounts: AccountsService,
    private readonly callers: TokenVerifier,
    private readonly devices: DeviceRows,
  ) {}

  /**
   * A token with which another client of the user can log in, once and soon.
   * @param alongside done in the same transaction
   * @throws {MatrixError} `M_UNKNOWN_TOKEN` when the requester's session ended meanwhile
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

  /**
   * Uses a login token up and gives whose it is.
   * @throws {MatrixError} `M_FORBIDDEN` for one that is unknown, used or expired
   */
  async redeem(tx: Tx, token: string): Promise<string> {
    const presented = this.tokens.read('mxl', token);
    if (presented === null) throw MatrixError.forbidden('Invalid login token');
    const { userId, digest } = presented;
    // Account and issuing device first, as everywhere: whoever ends them takes their login tokens last.
    await this.accounts.hold(tx, userId);
    const issuer = await this.store.findIssuer(tx, userId, digest);
    if (issuer !== null) await this.devices.lock(tx, [issuer]);
    if (!(await this.store.takeLoginToken(tx, userId, digest)))
      throw MatrixError.forbidden('Invalid login token');
    return userId;
  }
}
