import { Injectable } from '@nestjs/common';
import { cameFrom } from '../../audit/origins.js';
import { AccountsService } from '../../accounts/accounts.service.js';
import type { NewAccount } from '../../accounts/accounts.store.js';
import type { Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import type { StartedSession } from '../session.rules.js';
import { SessionService } from '../session.service.js';
import type { RegisterDto, WantedAccount } from './register.dto.js';
import { RegistrationGate } from './registration-gate.js';
import { RegistrationNames } from './registration-names.js';

/** What a registration made: an account, and a session unless none was wanted. */
export interface Registration {
  readonly userId: string;
  readonly session: StartedSession | null;
}

/** Makes accounts, and begins their first session. */
@Injectable()
export class RegisterService {
  constructor(
    private readonly names: RegistrationNames,
    private readonly gate: RegistrationGate,
    private readonly accounts: AccountsService,
    private readonly sessions: SessionService,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  /** A person, new or so far a guest: lets the gate ask for a proof first. */
  async registerUser(request: RegisterDto, origin: Origin): Promise<Registration> {
    await this.gate.countChallenge(origin.address);
    // A name that cannot be had is told before the user is asked to prove anything.
    const named = await this.nameOf(request);
    const { wanted, passwordHash } = await this.gate.pass(request, named, origin.address);
    const userId = named ?? (await this.names.forPerson(wanted.username || this.gate.generatedName()));
    const isGuest = request.guest_access_token !== undefined;
    return this.begin(wanted, userId, origin, (tx) =>
      isGuest
        ? this.accounts.upgradeGuest(tx, userId, passwordHash)
        : this.accounts.create(tx, { userId, kind: 'user', passwordHash }),
    );
  }

  /** A guest: whatever is sent is ignored but the name of the device; the server chooses everything else. */
  async registerGuest(
    body: { initial_device_display_name?: unknown },
    origin: Origin,
  ): Promise<Registration> {
    await this.gate.count(origin.address);
    const { initial_device_display_name: name } = body;
    const account: NewAccount = {
      userId: await this.names.forPerson(this.gate.generatedName()),
      kind: 'guest',
      passwordHash: null,
    };
    const wanted = { initial_device_display_name: typeof name === 'string' ? name : undefined };
    return this.begin(wanted, account.userId, origin, (tx) => this.accounts.create(tx, account));
  }

  /** A user of an application service, which needs neither password nor proof. */
  async registerForAppservice(
    request: RegisterDto,
    token: string | null,
    origin: Origin,
  ): Promise<Registration> {
    if (!request.username) throw MatrixError.missingParam('username');
    const userId = await this.names.forAppservice(request.username, token);
    const account: NewAccount = { userId, kind: 'appservice', passwordHash: null };
    return this.begin(request, userId, origin, (tx) => this.accounts.create(tx, account));
  }

  private async nameOf({ username, guest_access_token }: RegisterDto): Promise<string | null> {
    if (guest_access_token === undefined) return username ? this.names.forPerson(username) : null;
    if (!username) throw MatrixError.missingParam('username');
    return this.names.ofGuest(username, guest_access_token);
  }

  private begin(
    wanted: WantedAccount,
    userId: string,
    origin: Origin,
    createAccount: (tx: Tx) => Promise<void>,
  ): Promise<Registration> {
    return this.unitOfWork.run(async (tx) => {
      cameFrom(tx, origin);
      await createAccount(tx);
      if (wanted.inhibit_login) return { userId, session: null };
      const session = await this.sessions.start(tx, {
        userId,
        deviceId: wanted.device_id,
        initialDeviceDisplayName: wanted.initial_device_display_name ?? null,
        refreshable: wanted.refresh_token ?? false,
        origin,
      });
      return { userId, session };
    });
  }
}
