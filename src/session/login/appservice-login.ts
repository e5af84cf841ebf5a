import { Injectable } from '@nestjs/common';
import { AccountsService, requireActive } from '../../accounts/accounts.service.js';
import { type Named, toLogin } from '../../accounts/login-identifier.rules.js';
import { AppserviceRegistry } from '../../appservices/appservice-registry.js';
import type { Appservice } from '../../appservices/appservice.js';
import { MatrixError } from '../../matrix/matrix-error.js';

/** What an application service may do for its users without their passwords. */
@Injectable()
export class AppserviceLogin {
  constructor(
    private readonly registry: AppserviceRegistry,
    private readonly accounts: AccountsService,
  ) {}

  /**
   * Returns the application service that a token belongs to.
   * @throws {MatrixError} 401 `M_MISSING_TOKEN` or `M_UNKNOWN_TOKEN`
   */
  authenticate(token: string | null): Appservice {
    if (token === null) throw MatrixError.missingToken();
    const appservice = this.registry.find(token);
    if (appservice === null) throw MatrixError.unknownToken();
    return appservice;
  }

  /**
   * Returns the user ID that an application service logs in.
   * @throws {MatrixError} `M_EXCLUSIVE` for a user outside its namespaces, `M_FORBIDDEN` for one that does not exist
   */
  async prove(named: Named, token: string | null): Promise<string> {
    const appservice = this.authenticate(token);
    const login = toLogin(named);
    if (login.type !== 'm.id.user')
      throw new MatrixError(400, 'M_UNKNOWN', 'An application service names a user');
    const account = await this.accounts.find(login.user);
    const userId = account?.userId ?? this.accounts.canonicalName(login.user);
    if (!appservice.covers(userId)) {
      throw new MatrixError(
        403,
        'M_EXCLUSIVE',
        'This user is outside the namespaces of the application service',
      );
    }
    if (account === null) throw MatrixError.forbidden('This user is not registered');
    requireActive(account);
    return account.userId;
  }

  /**
   * Checks that a new user ID is inside the namespaces of the application service that registers it, if any, and that
   * no other one reserves it.
   * @param own the application service that registers, or `null`
   * @throws {MatrixError} 400 `M_EXCLUSIVE`
   */
  requireFree(userId: string, own: Appservice | null): void {
    if (own !== null && !own.covers(userId)) {
      throw new MatrixError(
        400,
        'M_EXCLUSIVE',
        'This user ID is outside the namespaces of the application service',
      );
    }
    if (this.registry.isReserved(userId, own)) {
      throw new MatrixError(400, 'M_EXCLUSIVE', 'This user ID is reserved for an application service');
    }
  }
}
