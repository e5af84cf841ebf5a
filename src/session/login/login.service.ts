import { Injectable } from '@nestjs/common';
import { AccountsService } from '../../accounts/accounts.service.js';
import { toLogin } from '../../accounts/login-identifier.rules.js';
import { PasswordsService } from '../../accounts/passwords.service.js';
import type { Proven } from '../../uia/uia-stage.port.js';
import { Batcher, GROUP_COMMIT } from '../../database/batcher.js';
import { settle, type Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { requireDeviceId, type StartedSession } from '../session.rules.js';
import { SessionService } from '../session.service.js';
import { AppserviceLogin } from './appservice-login.js';
import { type LoginContext, type LoginFlow, LoginFlows } from './login-flow.port.js';
import type { LoginDto } from './login.dto.js';

/** Looks into the transaction that begins the session, and gives who has proven to be who they are. */
type Proof = (tx: Tx) => Promise<string>;

/** Somebody who has proven, but for what the transaction says, who they are. */
interface Login {
  readonly request: LoginDto;
  readonly context: LoginContext;
  readonly proof: Proof;
}

/** Proves who logs in, and begins their session. */
@Injectable()
export class LoginService {
  private readonly logins = new Batcher<Login, StartedSession>(
    (batch, inCompany) => this.beginTogether(batch, inCompany),
    GROUP_COMMIT,
  );

  constructor(
    private readonly passwords: PasswordsService,
    private readonly accounts: AccountsService,
    private readonly appservices: AppserviceLogin,
    private readonly added: LoginFlows,
    private readonly sessions: SessionService,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  /** The types of login on offer. */
  flows(): readonly object[] {
    return [...this.added.own(), ...this.added.all().map(({ type, details }) => ({ ...details, type }))];
  }

  /**
   * Guessed passwords are counted where they are looked at; application services log many users in from one
   * address.
   */
  countsItself(type: string): boolean {
    return type !== 'm.login.token' && this.added.isOwn(type);
  }

  /** Begins a session. Logins that come at the same time, each on a new device, share a transaction. */
  async login(request: LoginDto, context: LoginContext): Promise<StartedSession> {
    requireDeviceId(request.device_id);
    const login = { request, context, proof: await this.prove(request, context) };
    // On a device that is there, or with a token of one, it would have to wait for whoever holds that.
    if (!request.device_id && request.type !== 'm.login.token') return this.logins.add(login);
    const [session] = await this.beginTogether([login], false);
    return session!;
  }

  private beginTogether(logins: readonly Login[], inCompany: boolean): Promise<StartedSession[]> {
    return this.unitOfWork.run((tx) => settle(logins.map((login) => this.begin(tx, login))), { inCompany });
  }

  private async begin(tx: Tx, { request, context, proof }: Login): Promise<StartedSession> {
    return this.sessions.start(tx, {
      userId: await proof(tx),
      deviceId: request.device_id,
      initialDeviceDisplayName: request.initial_device_display_name ?? null,
      refreshable: request.refresh_token ?? false,
      origin: context,
    });
  }

  private async prove(request: LoginDto, context: LoginContext): Promise<Proof> {
    const added = this.added.find(request.type);
    if (added !== null) return this.byAdded(added, request, context);
    if (!this.added.isOwn(request.type)) throw new MatrixError(400, 'M_UNKNOWN', 'Unknown login type');
    switch (request.type) {
      case 'm.login.password':
        return this.byPassword(request, context.address);
      case 'm.login.token':
        return this.byToken(request);
      default: {
        const userId = await this.appservices.prove(request, context.token);
        return async () => userId;
      }
    }
  }

  private async byAdded(flow: LoginFlow, request: LoginDto, context: LoginContext): Promise<Proof> {
    const userId = this.accounts.requireName(await flow.prove({ ...request }, context));
    return async (tx) => {
      await this.accounts.ensure(tx, { userId, kind: 'user', passwordHash: null });
      return userId;
    };
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
  private async requireSamePassword(tx: Tx, { userId, credential }: Proven): Promise<string> {
    const held = await this.accounts.hold(tx, userId);
    if (credential !== null && held?.passwordHash !== credential)
      throw MatrixError.forbidden('Invalid username or password');
    return userId;
  }
}
