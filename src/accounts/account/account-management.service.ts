import { Injectable } from '@nestjs/common';
import type { Requester } from '../../auth/requester.js';
import type { Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { AccountDeactivated } from '../../events/account-deactivated.event.js';
import { EventBus } from '../../events/event-bus.js';
import { PasswordChanged } from '../../events/password-changed.event.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { type Authorised, type Operation, type Result, withoutProof } from '../../uia/uia-operation.js';
import type { Proven } from '../../uia/uia-stage.port.js';
import { UiaService } from '../../uia/uia.service.js';
import { requireUnchanged } from '../accounts.service.js';
import { OwnAccount } from './own-account.js';
import { PasswordsService } from '../passwords.service.js';
import type { ChangePasswordDto, DeactivateDto } from './account.dto.js';

const FLOWS = [['m.login.password']];

/** A new password, and which sessions stay. */
interface PasswordChange {
  readonly passwordHash: string;
  readonly logoutDevices: boolean;
  /** The device that stays in any case. */
  readonly keptDeviceId: string | null;
}

/** What users may do to their own account. */
@Injectable()
export class AccountManagementService {
  constructor(
    private readonly uia: UiaService,
    private readonly passwords: PasswordsService,
    private readonly own: OwnAccount,
    private readonly events: EventBus,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  /**
   * Sets a new password. The calling session and its refresh token stay; the other devices are deleted unless the
   * user wants to keep them. All of this is one commit.
   * @param requester `null` if nobody is logged in; then the old password alone proves who the user is
   */
  async changePassword(
    requester: Requester | null,
    request: ChangePasswordDto,
    origin: Origin,
  ): Promise<void> {
    const { new_password: password, auth } = request;
    // Only the answer to a challenge may leave out the password, because a hash of it is remembered.
    if (password === undefined && typeof auth?.['session'] !== 'string')
      throw MatrixError.missingParam('new_password');
    // Refuse what is impossible before asking the user for proof.
    if (requester !== null) await this.passwords.requireKeptHere(requester.userId);
    if (password !== undefined) await this.passwords.requireStrong(password, requester?.userId ?? '');
    const hash = password === undefined ? null : () => this.passwords.hash(password);
    const proof = await this.prove(requester, {
      name: 'POST /account/password',
      parameters: { logout_devices: request.logout_devices },
      secret: hash,
      auth,
      address: origin.address,
    });
    const { logout_devices = true } = {
      ...proof.parameters,
      ...defined({ logout_devices: request.logout_devices }),
    };
    if (requester === null && proof.userId !== null) await this.passwords.requireKeptHere(proof.userId);
    if (proof.result !== null) return this.requireSamePassword(proof.result, password);
    const passwordHash = (await hash?.()) ?? proof.secret;
    if (passwordHash === null) throw MatrixError.missingParam('new_password');
    const earlier = await this.unitOfWork.run(async (tx) => {
      const account = await this.own.lock(tx, proof.userId, requester);
      // If the request comes twice at once, the second one finds the result of the first.
      const made = await this.uia.hold(tx, proof);
      if (made !== null) return made;
      requireUnchanged(account, proof.credential);
      const keptDeviceId = requester?.device?.deviceId ?? null;
      await this.setPassword(
        tx,
        account.userId,
        { passwordHash, logoutDevices: logout_devices, keptDeviceId },
        origin,
      );
      await this.uia.finish(tx, proof, { passwordHash }, { logout_devices });
      return null;
    });
    if (earlier !== null) await this.requireSamePassword(earlier, password);
  }

  /** Deactivates the account for good: every session ends in the same commit, and the name stays taken. */
  async deactivate(requester: Requester | null, request: DeactivateDto, origin: Origin): Promise<void> {
    const proof = requester?.isAppservice
      ? withoutProof({}, requester.userId)
      : await this.prove(requester, {
          name: 'POST /account/deactivate',
          parameters: { erase: request.erase },
          auth: request.auth,
          address: origin.address,
        });
    const { erase = false } = { ...proof.parameters, ...defined({ erase: request.erase }) };
    await this.unitOfWork.run(async (tx) => {
      const account = await this.own.lock(tx, proof.userId, requester);
      requireUnchanged(account, proof.credential);
      // Without a proof, an application service may deactivate only its own users, not people in a shared namespace.
      if (requester?.isAppservice && account.kind !== 'appservice') {
        throw MatrixError.forbidden('This user does not belong to the application service');
      }
      await this.end(tx, account.userId, erase, origin);
    });
  }

  /**
   * Sets the new password of a user who has proven the old one elsewhere. It ends every session, unless they are kept.
   * @throws {MatrixError} `M_FORBIDDEN` if the password has changed since the proof
   */
  async changeProven(
    tx: Tx,
    { userId, credential }: Proven,
    change: Pick<PasswordChange, 'passwordHash' | 'logoutDevices'>,
    origin: Origin,
  ): Promise<void> {
    requireUnchanged(await this.own.lock(tx, userId, null), credential);
    await this.setPassword(tx, userId, { ...change, keptDeviceId: null }, origin);
  }

  /**
   * Deactivates the account of a user who has proven their password elsewhere.
   * @throws {MatrixError} `M_FORBIDDEN` if the password has changed since the proof
   */
  async deactivateProven(
    tx: Tx,
    { userId, credential }: Proven,
    erase: boolean,
    origin: Origin,
  ): Promise<void> {
    requireUnchanged(await this.own.lock(tx, userId, null), credential);
    await this.end(tx, userId, erase, origin);
  }

  private async setPassword(
    tx: Tx,
    userId: string,
    { passwordHash, logoutDevices, keptDeviceId }: PasswordChange,
    origin: Origin,
  ): Promise<void> {
    await this.own.setPassword(tx, userId, passwordHash);
    const changed = new PasswordChanged(userId, logoutDevices, keptDeviceId, tx.startedAt.getTime());
    await this.events.publish(tx, changed, origin);
  }

  private async end(tx: Tx, userId: string, erase: boolean, origin: Origin): Promise<void> {
    await this.own.deactivate(tx, userId);
    await this.events.publish(tx, new AccountDeactivated(userId, erase, tx.startedAt.getTime()), origin);
  }

  private async prove(
    requester: Requester | null,
    operation: Pick<Operation, 'name' | 'auth' | 'address' | 'parameters' | 'secret'>,
  ): Promise<Authorised> {
    return this.uia.authorise({
      ...operation,
      userId: requester?.userId ?? null,
      deviceId: requester?.device?.deviceId ?? null,
      flows: FLOWS,
    });
  }

  /** Lets a repeated request pass, whose first response was lost, if it asks for the same change. */
  private async requireSamePassword(
    { passwordHash = null }: Result,
    password: string | undefined,
  ): Promise<void> {
    if (password !== undefined && !(await this.passwords.isOf(passwordHash, password)))
      throw MatrixError.forbidden('The authentication session was started for a different request');
  }
}

function defined<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}
