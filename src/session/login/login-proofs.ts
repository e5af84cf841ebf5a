import { Injectable } from '@nestjs/common';
import { AccountsService } from '../../accounts/accounts.service.js';
import { toLogin } from '../../accounts/login-identifier.rules.js';
import { PasswordProofs } from '../../accounts/password-proofs.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { AppserviceLogin } from './appservice-login.js';
import { type LoginContext, type LoginFlow, LoginFlows } from './login-flow.port.js';
import type { LoginDto } from './login.dto.js';

/** A verified user. The transaction still checks the account. */
export interface LoginProof {
  readonly userId: string;
  /** The password hash that the proof was checked against; `null` if there was none. */
  readonly credential: string | null;
  /** Whether to create a missing account, because another system knows the user. */
  readonly mayBeNew: boolean;
}

/** Verifies who is logging in. */
@Injectable()
export class LoginProofs {
  constructor(
    private readonly passwords: PasswordProofs,
    private readonly accounts: AccountsService,
    private readonly appservices: AppserviceLogin,
    private readonly flows: LoginFlows,
  ) {}

  /** @throws {MatrixError} `M_UNKNOWN` for an unsupported login type; `M_FORBIDDEN` for a bad proof */
  async prove(request: LoginDto, context: LoginContext): Promise<LoginProof> {
    const added = this.flows.find(request.type);
    if (added !== null) return this.byAdded(added, request, context);
    if (!this.flows.isOwn(request.type)) throw new MatrixError(400, 'M_UNKNOWN', 'Unknown login type');
    if (request.type === 'm.login.password') return this.byPassword(request, context.address);
    if (request.type !== 'm.login.application_service')
      throw new Error(`A login of type ${request.type} is proven elsewhere`);
    const userId = await this.appservices.prove(request, context.token);
    return { userId, credential: null, mayBeNew: false };
  }

  private async byAdded(flow: LoginFlow, request: LoginDto, context: LoginContext): Promise<LoginProof> {
    const userId: unknown = await flow.prove({ ...request }, context);
    if (typeof userId !== 'string') throw new Error(`The login of type ${flow.type} gave no user ID`);
    return { userId: this.accounts.requireName(userId), credential: null, mayBeNew: true };
  }

  private async byPassword(request: LoginDto, address: string): Promise<LoginProof> {
    const login = toLogin(request);
    if (request.password === undefined) throw MatrixError.missingParam('password');
    const { userId, credential } = await this.passwords.verify(login, request.password, address);
    return { userId, credential, mayBeNew: false };
  }
}
