import { Injectable } from '@nestjs/common';
import { AccountsService } from '../../accounts/accounts.service.js';
import { Homeserver } from '../../homeserver/homeserver.port.js';
import { Environment } from '../../config/environment.js';
import type { Tx } from '../../database/tx.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { AppserviceLogin } from '../login/appservice-login.js';
import { SessionTokenVerifier } from '../session-token.verifier.js';
import type { WantedGuest } from './register.dto.js';

/** Decides which user ID a registration may have. */
@Injectable()
export class RegistrationNames {
  constructor(
    private readonly accounts: AccountsService,
    private readonly appservices: AppserviceLogin,
    private readonly verifier: SessionTokenVerifier,
    private readonly environment: Environment,
    private readonly homeserver: Homeserver,
  ) {}

  /**
   * Returns the user ID for a name that a person may take.
   * @throws {MatrixError} `M_INVALID_USERNAME`, `M_USER_IN_USE` or `M_EXCLUSIVE`
   */
  async forPerson(username: string): Promise<string> {
    const userId = await this.accounts.nameFor(username, { isPersons: true });
    this.appservices.requireFree(userId, null);
    // Otherwise the first to register this name would be the administrator.
    const { registration, serverAdmins } = this.environment;
    if (registration === 'open' && serverAdmins.some((admin) => admin.toLowerCase() === userId))
      throw new MatrixError(400, 'M_EXCLUSIVE', 'This user ID is reserved for an administrator');
    await this.homeserver.requireFree(userId);
    return userId;
  }

  /**
   * Returns the user ID for a name that the application service of this token may take.
   * @throws {MatrixError} 401 if there is no valid token, and the errors of {@link forPerson}
   */
  async forAppservice(username: string, token: string | null): Promise<string> {
    const appservice = this.appservices.authenticate(token);
    const userId = await this.accounts.nameFor(username, { isPersons: false });
    this.appservices.requireFree(userId, appservice);
    return userId;
  }

  /**
   * Returns the user ID of a guest to be upgraded. The name must be the guest's own ("Guest Access").
   * @throws {MatrixError} `M_FORBIDDEN` if the token does not belong to the guest of this name
   */
  async ofGuest(username: string, guestAccessToken: string): Promise<WantedGuest> {
    const verdict = await this.verifier.verify(guestAccessToken, { userId: undefined, deviceId: undefined });
    const userId = this.accounts.canonicalName(username);
    const requester = verdict.kind === 'valid' ? verdict.requester : null;
    if (!requester?.isGuest || requester.tokenDigest === null || requester.userId !== userId) throw noGuest();
    return { user_id: userId, token_digest: requester.tokenDigest.toString('base64') };
  }

  /**
   * Locks the account of the guest and checks that the token they have shown is still there.
   * @throws {MatrixError} `M_FORBIDDEN`
   */
  async requireGuest(tx: Tx, { user_id: userId, token_digest }: WantedGuest): Promise<void> {
    await this.accounts.lock(tx, userId);
    try {
      await this.verifier.requireAlive(tx, { userId, tokenDigest: Buffer.from(token_digest, 'base64') });
    } catch (error) {
      throw error instanceof MatrixError ? noGuest() : error;
    }
  }
}

function noGuest(): MatrixError {
  return MatrixError.forbidden('guest_access_token must be that of the guest whose name is wanted');
}
