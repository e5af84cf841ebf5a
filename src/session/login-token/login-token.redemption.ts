import { Injectable } from '@nestjs/common';
import { AccountsService } from '../../accounts/accounts.service.js';
import type { Tx } from '../../database/tx.js';
import { DeviceRows } from '../../device-rows/device-rows.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { SessionStore } from '../session.store.js';
import { TokenIssuer } from '../token-issuer.js';

/** Redeems login tokens, each of them once. */
@Injectable()
export class LoginTokenRedemption {
  constructor(
    private readonly store: SessionStore,
    private readonly tokens: TokenIssuer,
    private readonly accounts: AccountsService,
    private readonly devices: DeviceRows,
  ) {}

  /**
   * Consumes a login token and returns its user ID.
   * @throws {MatrixError} `M_FORBIDDEN` if it is unknown, used or expired
   */
  async redeem(tx: Tx, token: string): Promise<string> {
    const presented = this.tokens.read('mxl', token);
    if (presented === null) throw MatrixError.forbidden('Invalid login token');
    const { userId, digest } = presented;
    // Lock the account and the issuing device first, as everywhere: a transaction that ends them deletes their login
    // tokens last.
    await this.accounts.hold(tx, userId);
    const issuer = await this.store.findIssuer(tx, userId, digest);
    if (issuer !== null) await this.devices.lock(tx, [issuer]);
    if (!(await this.store.takeLoginToken(tx, userId, digest)))
      throw MatrixError.forbidden('Invalid login token');
    return userId;
  }
}
