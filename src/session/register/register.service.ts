import { Injectable } from '@nestjs/common';
import { AccountsService, requireActive, requireUnchanged } from '../../accounts/accounts.service.js';
import type { NewAccount } from '../../accounts/accounts.store.js';
import type { Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import type { SessionStart, StartedSession } from '../session.rules.js';
import { SessionStartService } from '../session-start.service.js';
import type { RegisterDto, WantedAccount, WantedGuest } from './register.dto.js';
import { RegistrationGate } from './registration-gate.js';
import { RegistrationNames } from './registration-names.js';

/** What a registration made: an account, and a session unless none was wanted. */
export interface Registration {
  readonly userId: string;
  readonly session: StartedSession | null;
}

/** Creates accounts and starts their first session. */
@Injectable()
export class RegisterService {
  constructor(
    private readonly names: RegistrationNames,
    private readonly gate: RegistrationGate,
    private readonly accounts: AccountsService,
    private readonly sessions: SessionStartService,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  /**
   * Registers a new person, or upgrades a guest, after the gate has checked their proof. If the response is lost and
   * the request is repeated with the same authentication session, the same user gets a new token.
   */
  async registerUser(request: RegisterDto, origin: Origin): Promise<Registration> {
    await this.gate.countChallenge(origin.address);
    const again = await this.answerAgain(request, origin);
    if (again !== null) return again;
    const guest = await this.guestOf(request);
    // Refuse an unavailable name before asking the user for proof.
    const asked =
      guest?.user_id ?? (await this.unlessRegistered(request, () => this.nameOf(request.username)));
    const { wanted, passwordHash, proof } = await this.gate.pass(
      request,
      { userId: asked, guest },
      origin.address,
    );
    const upgraded = guest ?? wanted.guest ?? null;
    const userId =
      upgraded?.user_id ??
      asked ??
      (await this.unlessRegistered(request, () =>
        this.names.forPerson(wanted.username || this.gate.generatedName()),
      ));
    const made = await this.unitOfWork.run(async (tx) => {
      if (await this.gate.isUsed(tx, proof)) return null;
      const registration = await this.begin(tx, wanted, userId!, origin, () =>
        upgraded === null
          ? this.accounts.create(tx, { userId: userId!, kind: 'user', passwordHash }, origin)
          : this.upgrade(tx, upgraded, passwordHash, origin),
      );
      const deviceId = registration.session?.deviceId ?? null;
      await this.gate.finish(tx, proof, { userId: userId!, deviceId, passwordHash }, wanted);
      return registration;
    });
    const registration = made ?? (await this.answerAgain(request, origin));
    if (registration === null) throw MatrixError.unknownSession();
    return registration;
  }

  /** Registers a guest. Only the name of the device is read from the body; the server chooses everything else. */
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
    return this.unitOfWork.run((tx) =>
      this.begin(tx, wanted, account.userId, origin, () => this.accounts.create(tx, account, origin)),
    );
  }

  /** Registers a user for an application service, which needs neither password nor proof. */
  async registerForAppservice(
    request: RegisterDto,
    token: string | null,
    origin: Origin,
  ): Promise<Registration> {
    if (!request.username) throw MatrixError.missingParam('username');
    const userId = await this.names.forAppservice(request.username, token);
    const account: NewAccount = { userId, kind: 'appservice', passwordHash: null };
    return this.unitOfWork.run((tx) =>
      this.begin(tx, request, userId, origin, () => this.accounts.create(tx, account, origin)),
    );
  }

  private async nameOf(username: string | undefined): Promise<string | null> {
    return username ? this.names.forPerson(username) : null;
  }

  /** Returns the name or, if it is refused, that of the account which this same registration has just created. */
  private unlessRegistered(request: RegisterDto, name: () => Promise<string | null>): Promise<string | null> {
    return name().catch(async (error: unknown) => {
      const meanwhile = await this.gate.earlier(request);
      if (meanwhile === null) throw error;
      return meanwhile.userId;
    });
  }

  /** Returns the guest to be upgraded; `null` for a new person. */
  private async guestOf({ username, guest_access_token }: RegisterDto): Promise<WantedGuest | null> {
    if (guest_access_token === undefined) return null;
    if (!username) throw MatrixError.missingParam('username');
    return this.names.ofGuest(username, guest_access_token);
  }

  /**
   * Answers a repeated registration with a new session on the same device, because nobody got the first tokens.
   * Returns `null` if the request is not a repeat.
   * @throws {MatrixError} `M_FORBIDDEN` for a different request with the same authentication session; `M_UNKNOWN` if
   *   the device has been logged out since
   */
  private async answerAgain(request: RegisterDto, origin: Origin): Promise<Registration | null> {
    const earlier = await this.gate.earlier(request);
    if (earlier === null) return null;
    const { userId, deviceId, passwordHash, wanted } = earlier;
    return this.unitOfWork.run(async (tx) => {
      const account = await this.accounts.hold(tx, userId);
      requireActive(account);
      requireUnchanged(account, passwordHash);
      if (deviceId === null) return { userId, session: null };
      const session = await this.sessions.startAgain(tx, { ...startOf(userId, wanted, origin), deviceId });
      if (session === null) throw MatrixError.unknownSession();
      return { userId, session };
    });
  }

  /** A guest who has logged out since they showed their token is no guest any more. */
  private async upgrade(tx: Tx, guest: WantedGuest, passwordHash: string, origin: Origin): Promise<void> {
    await this.names.requireGuest(tx, guest);
    await this.accounts.upgradeGuest(tx, guest.user_id, passwordHash, origin);
  }

  private async begin(
    tx: Tx,
    wanted: WantedAccount,
    userId: string,
    origin: Origin,
    createAccount: () => Promise<void>,
  ): Promise<Registration> {
    await createAccount();
    if (wanted.inhibit_login) return { userId, session: null };
    return { userId, session: await this.sessions.start(tx, startOf(userId, wanted, origin)) };
  }
}

function startOf(userId: string, wanted: WantedAccount, origin: Origin): SessionStart {
  return {
    userId,
    deviceId: wanted.device_id,
    initialDeviceDisplayName: wanted.initial_device_display_name ?? null,
    refreshable: wanted.refresh_token ?? false,
    origin,
    client: null,
  };
}
