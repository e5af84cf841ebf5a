import { Injectable } from '@nestjs/common';
import { AccountsService } from '../../accounts/accounts.service.js';
import { Environment } from '../../config/environment.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { AppserviceLogin } from '../login/appservice-login.js';
import { SessionTokenVerifier } from '../session-token.verifier.js';

/** Which user ID a registration may have. */
@Injectable()
export class RegistrationNames {
  constructor(
    private readonly accounts: AccountsService,
    private readonly appservices: AppserviceLogin,
    private readonly verifier: SessionTokenVerifier,
    private readonly environment: Environment,
  ) {}

  /**
   * The user ID of a name that a person may take.
   * @throws {MatrixError} `M_INVALID_USERNAME`, `M_USER_IN_USE` or `M_EXCLUSIVE`
   */
  async forPerson(username: string): Promise<string> {
    const userId = await this.accounts.nameFor(username, { isPersons: true });
    this.appservices.requireFree(userId, null);
    // Whoever came first would be the administrator.
    const { registration, serverAdmins } = this.environment;
    if (registration === 'open' && serverAdmins.some((admin) => admin.toLowerCase() === userId))
      throw new MatrixError(400, 'M_EXCLUSIVE', 'This user ID is reserved for an administrator');
    return userId;
  }

  /**
   * The user ID of a name that the application service of this token may take.
   * @throws {MatrixError} 401 for a token that is none, and as for a person
   */
  async forAppservice(username: string, token: string | null): Promise<string> {
    const appservice = this.appservices.authenticate(token);
    const userId = await this.accounts.nameFor(username, { isPersons: false });
    this.appservices.requireFree(userId, appservice);
    return userId;
  }

  /**
   * The user ID of the guest who wants to stay: the name must be the guest's own ("Guest Access").
   * @throws {MatrixError} `M_FORBIDDEN` when the token is no guest's of this name
   */
  async ofGuest(username: string, guestAccessToken: string): Promise<string> {
    const verdict = await this.verifier.verify(guestAccessToken, { userId: undefined, deviceId: undefined });
    const userId = this.accounts.canonicalName(username);
    if (verdict.kind !== 'valid' || !verdict.requester.isGuest || verdict.requester.userId !== userId) {
      throw MatrixError.forbidden('guest_access_token must be that of the guest whose name is wanted');
    }
    return userId;
  }
}
