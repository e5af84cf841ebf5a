import { Injectable } from '@nestjs/common';
import type { SharedWork } from '../../database/shared-work.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { LoginTokenRedemption } from '../login-token/login-token.redemption.js';
import { requireDeviceId } from '../../device-rows/device.rules.js';
import { type SessionStart, type StartedSession } from '../session.rules.js';
import { type PreparedSession, SessionStartService } from '../session-start.service.js';
import type { LoginContext } from './login-flow.port.js';
import type { LoginDto } from './login.dto.js';
import { LoginProofs } from './login-proofs.js';
import { type Login, LoginTransaction } from './login.transaction.js';

/** Verifies who is logging in, and starts their session. */
@Injectable()
export class LoginService {
  private readonly logins: SharedWork<Login, PreparedSession>;

  constructor(
    private readonly proofs: LoginProofs,
    private readonly starts: SessionStartService,
    private readonly loginTokens: LoginTokenRedemption,
    private readonly unitOfWork: UnitOfWork,
    login: LoginTransaction,
  ) {
    this.logins = unitOfWork.share(login);
  }

  /**
   * Starts a session. Concurrent logins on new devices share a transaction.
   * @throws {MatrixError} `M_FORBIDDEN` for a bad proof; `M_UNKNOWN` for an unknown login type; and what
   *   {@link SessionStartService.start} throws
   */
  async login(request: LoginDto, context: LoginContext): Promise<StartedSession> {
    requireDeviceId(request.device_id);
    const startOf = (userId: string): SessionStart => ({
      userId,
      deviceId: request.device_id,
      initialDeviceDisplayName: request.initial_device_display_name ?? null,
      refreshable: request.refresh_token ?? false,
      origin: context,
      client: null,
    });
    if (request.type === 'm.login.token') return this.loginByToken(request.token, startOf);
    const { userId, ...proof } = await this.proofs.prove(request, context);
    const session = this.starts.prepare(startOf(userId));
    // On a known device, the login may have to wait for a request that holds the device.
    return session.isOnNewDevice
      ? this.logins.together({ session, ...proof })
      : this.logins.alone({ session, ...proof });
  }

  private async loginByToken(
    token: string | undefined,
    startOf: (userId: string) => SessionStart,
  ): Promise<StartedSession> {
    if (token === undefined) throw MatrixError.missingParam('token');
    return this.unitOfWork.run(async (tx) =>
      this.starts.start(tx, startOf(await this.loginTokens.redeem(tx, token))),
    );
  }
}
