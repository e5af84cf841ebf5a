import { Injectable } from '@nestjs/common';
import type { Requester } from '../../auth/requester.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { AccountDeactivated } from '../../events/account-deactivated.event.js';
import { EventBus } from '../../events/event-bus.js';
import { PasswordChanged } from '../../events/password-changed.event.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { type Operation, UiaService } from '../../uia/uia.service.js';
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
  ) {}

  /**
   * Sets a new password. The calling session and its refresh token stay; the other devices are deleted unless the
   * user wants to keep them. All of it is one commit.
   * @param requester `null`: nobody is logged in, and whoever knows the old password is the user
   */
  async changePassword(
    requester: Requester | null,
    request: ChangePasswordDto,
    address: string,
  ): Promise<void> {
    const { new_password, auth, logout_devices = true } = request;
    const deviceId = requester?.device?.deviceId ?? null;
    // A password that cannot be had is told before the user is asked to prove anything.
    await this.passwords.requireStrong(new_password, requester?.userId ?? '');
    const userId = await this.prove(requester, {
      name: 'POST /account/password',
      auth,
      address,
      parameters: {},
    });
    const passwordHash = await this.passwords.hash(new_password);
    await this.unitOfWork.run(async (tx) => {
      await this.store.lock(tx, userId);
      await this.store.setPassword(tx, userId, passwordHash);
      await this.events.publish(
        tx,
        new PasswordChanged(userId, logout_devices, deviceId, tx.startedAt.getTime()),
      );
    });
  }

  /** Ends the account for good: every session goes in the same commit, and the name stays taken. */
  async deactivate(requester: Requester | null, request: DeactivateDto, address: string): Promise<void> {
    const { auth, erase } = request;
    const operation = { name: 'POST /account/deactivate', auth, address, parameters: { erase } };
    // An application service needs no proof for a user of its own.
    const userId = requester?.isAppservice ? requester.userId : await this.prove(requester, operation);
    await this.unitOfWork.run(async (tx) => {
      await this.store.lock(tx, userId);
      await this.store.deactivate(tx, userId);
      await this.events.publish(tx, new AccountDeactivated(userId, erase ?? false, tx.startedAt.getTime()));
    });
  }

  private async prove(
    requester: Requester | null,
    operation: Pick<Operation, 'name' | 'auth' | 'address' | 'parameters'>,
  ): Promise<string> {
    const { userId } = await this.uia.authorise({
      ...operation,
      userId: requester?.userId ?? null,
      deviceId: requester?.device?.deviceId ?? null,
      flows: FLOWS,
    });
    if (userId === null) throw MatrixError.forbidden('Nobody has proven to be the user');
    return userId;
  }
}
