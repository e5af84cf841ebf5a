import { Injectable } from '@nestjs/common';
import { recordOrigin } from '../../audit/origins.js';
import type { Requester } from '../../auth/requester.js';
import { TokenVerifier } from '../../auth/token-verifier.port.js';
import type { Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { AccountDeactivated } from '../../events/account-deactivated.event.js';
import { EventBus } from '../../events/event-bus.js';
import { PasswordChanged } from '../../events/password-changed.event.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import {
  type Authorised,
  type Operation,
  type Result,
  UiaService,
  withoutProof,
} from '../../uia/uia.service.js';
import type { AccountEntity } from '../account.entity.js';
import { requireActive, requireUnchanged } from '../accounts.service.js';
import { AccountsStore } from '../accounts.store.js';
import { PasswordsService } from '../passwords.service.js';
import type { ChangePasswordDto, DeactivateDto } from './account.dto.js';

const FLOWS = [['m.login.password']];

/** What users may do to their own account. */
@Injectable()
export class AccountService {
  constructor(
    private readonly uia: UiaService,
    private readonly passwords: PasswordsService,
    private readonly store: AccountsStore,
    private readonly events: EventBus,
    private readonly unitOfWork: UnitOfWork,
    private readonly callers: TokenVerifier,
  ) {}

  /**
   * Sets a new password. The calling session and its refresh token stay; the other devices are deleted unless the
   * user wants to keep them. All of it is one commit.
   * @param requester `null`: nobody is logged in, and whoever knows the old password is the user
   */
  async changePassword(
    requester: Requester | null,
    request: ChangePasswordDto,
    origin: Origin,
  ): Promise<void> {
    const { new_password: password, auth } = request;
    // Only the answer to a challenge may leave it out: a hash of it is remembered.
    if (password === undefined && typeof auth?.['session'] !== 'string')
      throw MatrixError.missingParam('new_password');
    // What cannot be had is told before the user is asked to prove anything.
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
      recordOrigin(tx, origin);
      const account = await this.lock(tx, proof, requester);
      // Asked for twice at once: the second finds what the first has done.
      const made = await this.uia.hold(tx, proof);
      if (made !== null) return made;
      requireUnchanged(account, proof.credential);
      const { userId } = account;
      await this.store.setPassword(tx, userId, passwordHash);
      const keptDeviceId = requester?.device?.deviceId ?? null;
      await this.events.publish(
        tx,
        new PasswordChanged(userId, logout_devices, keptDeviceId, tx.startedAt.getTime()),
      );
      await this.uia.finish(tx, proof, { passwordHash }, { logout_devices });
      return null;
    });
    if (earlier !== null) await this.requireSamePassword(earlier, password);
  }

  /** Ends the account for good: every session goes in the same commit, and the name stays taken. */
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
      recordOrigin(tx, origin);
      const account = await this.lock(tx, proof, requester);
      requireUnchanged(account, proof.credential);
      // Without a proof only for a user of its own; people in a shared namespace are not.
      if (requester?.isAppservice && account.kind !== 'appservice') {
        throw MatrixError.forbidden('This user does not belong to the application service');
      }
      await this.store.deactivate(tx, account.userId);
      await this.events.publish(tx, new AccountDeactivated(account.userId, erase, tx.startedAt.getTime()));
    });
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

  /** A change that is asked for again, because its answer was lost, is made already: if it is the same change. */
  private async requireSamePassword(
    { passwordHash = null }: Result,
    password: string | undefined,
  ): Promise<void> {
    if (password !== undefined && !(await this.passwords.isOf(passwordHash, password)))
      throw MatrixError.forbidden('The authentication session belongs to another request');
  }

  /** The account, if it may act, and the calling session is still there. */
  private async lock(tx: Tx, { userId }: Authorised, requester: Requester | null): Promise<AccountEntity> {
    const account = userId === null ? null : await this.store.lock(tx, userId);
    requireActive(account);
    if (requester !== null) await this.callers.requireAlive(tx, requester);
    return account;
  }
}

function defined<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}
