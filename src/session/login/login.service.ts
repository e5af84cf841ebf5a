import { Injectable } from '@nestjs/common';
import type { AccountEntity } from '../../accounts/account.entity.js';
import { AccountsService } from '../../accounts/accounts.service.js';
import { toLogin } from '../../accounts/login-identifier.rules.js';
import { PasswordsService } from '../../accounts/passwords.service.js';
import type { Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { requireDeviceId, type StartedSession } from '../session.rules.js';
import { SessionService } from '../session.service.js';
import { AppserviceLogin } from './appservice-login.js';
import type { LoginDto } from './login.dto.js';

/** The types of login, as `GET /login` tells them. */
export const FLOWS = [
  { type: 'm.login.password' },
  { type: 'm.login.token', get_login_token: true },
  { type: 'm.login.application_service' },
];

/** What a client sends with its login that is not in the body. */
export interface LoginContext {
  /** The address of the client. */
  readonly address: string;
  /** The token it shows, if any: that of an application service. */
  readonly token: string | null;
}

/** Looks into the transaction that begins the session, and gives who has proven to be who they are. */
type Proof = (tx: Tx) => Promise<string>;

/** Proves who logs in, and begins their session. */
@Injectable()
export class LoginService {
  constructor(
    private readonly passwords: PasswordsService,
    private readonly accounts: AccountsService,
    private readonly appservices: AppserviceLogin,
    private readonly sessions: SessionService,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  async login(request: LoginDto, context: LoginContext): Promise<StartedSession> {
    requireDeviceId(request.device_id);
    const proof = await this.prove(request, context);
    return this.unitOfWork.run(async (tx) =>
      this.sessions.start(tx, {
        userId: await proof(tx),
        deviceId: request.device_id,
        initialDeviceDisplayName: request.initial_device_display_name ?? null,
        refreshable: request.refresh_token ?? false,
      }),
    );
  }

  private async prove(request: LoginDto, { address, token }: LoginContext): Promise<Proof> {
    switch (request.type) {
      case 'm.login.password':
        return this.byPassword(request, address);
      case 'm.login.token':
        return this.byToken(request);
      case 'm.login.application_service': {
        const userId = await this.appservices.prove(request, token);
        return async () => userId;
      }
      default:
        throw new MatrixError(400, 'M_UNKNOWN', 'Unknown login type');
    }
  }

  private async byPassword(request: LoginDto, address: string): Promise<Proof> {
    const login = toLogin(request);
    if (request.password === undefined) throw MatrixError.missingParam('password');
    const proven = await this.passwords.verify(login, request.password, address);
    return (tx) => this.requireSamePassword(tx, proven);
  }

  private byToken({ token }: LoginDto): Proof {
    if (token === undefined) throw MatrixError.missingParam('token');
    return (tx) => this.sessions.redeemLoginToken(tx, token);
  }

  /** A password that was changed while it was being verified proves nothing any more. */
  private async requireSamePassword(tx: Tx, { userId, passwordHash }: AccountEntity): Promise<string> {
    const held = await this.accounts.hold(tx, userId);
    if (held?.passwordHash !== passwordHash) throw MatrixError.forbidden('Invalid username or password');
    return userId;
  }
}
