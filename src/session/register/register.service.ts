import { Injectable } from '@nestjs/common';
import type { NewAccount } from '../../accounts/accounts.store.js';
import { AccountsService } from '../../accounts/accounts.service.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import type { StartedSession } from '../session.rules.js';
import { SessionService } from '../session.service.js';
import { AppserviceLogin } from '../login/appservice-login.js';
import type { RegisterDto, WantedAccount } from './register.dto.js';
import { RegistrationGate } from './registration-gate.js';

/** What a registration made: an account, and a session unless none was wanted. */
export interface Registration {
  readonly userId: string;
  readonly session: StartedSession | null;
}

/** Makes accounts, and begins their first session. */
@Injectable()
export class RegisterService {
  constructor(
    private readonly accounts: AccountsService,
    private readonly sessions: SessionService,
    private readonly gate: RegistrationGate,
    private readonly appservices: AppserviceLogin,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  /** A person: lets the gate ask for a proof first. */
  async registerUser(request: RegisterDto, address: string): Promise<Registration> {
    await this.gate.countChallenge(address);
    // A name that cannot be had is told before the user is asked to prove anything.
    const named = request.username ? await this.nameFor(request.username) : null;
    const { wanted, passwordHash } = await this.gate.pass(request, named, address);
    const userId = named ?? (await this.nameFor(wanted.username || this.gate.generatedName()));
    return this.create({ userId, kind: 'user', passwordHash }, wanted);
  }

  /** A guest: whatever is sent is ignored but the name of the device; the server chooses everything else. */
  async registerGuest(
    body: { initial_device_display_name?: unknown },
    address: string,
  ): Promise<Registration> {
    const { initial_device_display_name: name } = body;
    await this.gate.count(address);
    const userId = await this.nameFor(this.gate.generatedName());
    return this.create(
      { userId, kind: 'guest', passwordHash: null },
      { initial_device_display_name: typeof name === 'string' ? name : undefined },
    );
  }

  /** A user of an application service, which needs neither password nor proof. */
  async registerForAppservice(request: RegisterDto, token: string | null): Promise<Registration> {
    const appservice = this.appservices.authenticate(token);
    if (!request.username) throw MatrixError.missingParam('username');
    const userId = await this.accounts.nameFor(request.username);
    this.appservices.requireFree(userId, appservice);
    return this.create({ userId, kind: 'appservice', passwordHash: null }, request);
  }

  /** The user ID of this name, when it is free. */
  async nameFor(username: string): Promise<string> {
    const userId = await this.accounts.nameFor(username);
    this.appservices.requireFree(userId, null);
    return userId;
  }

  private create(account: NewAccount, wanted: WantedAccount): Promise<Registration> {
    const { userId } = account;
    return this.unitOfWork.run(async (tx) => {
      await this.accounts.create(tx, account);
      if (wanted.inhibit_login) return { userId, session: null };
      const session = await this.sessions.start(tx, {
        userId,
        deviceId: wanted.device_id,
        initialDeviceDisplayName: wanted.initial_device_display_name ?? null,
        refreshable: wanted.refresh_token ?? false,
      });
      return { userId, session };
    });
  }
}
