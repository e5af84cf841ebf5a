import { Injectable } from '@nestjs/common';
import { AccountsService, requireActive, requireUnchanged } from '../accounts/accounts.service.js';
import type { Requester } from '../auth/requester.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import type { Origin } from '../matrix/client-origin.decorator.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { isDeviceId } from '../device-rows/device.rules.js';
import { SessionService } from '../session/session.service.js';
import { type Authorised, type Operation, withoutProof } from '../uia/uia-operation.js';
import { UiaService } from '../uia/uia.service.js';

const FLOWS = [['m.login.password']];

/** What a client sends to delete devices. */
export interface Deletion extends Pick<Operation, 'name' | 'auth'> {
  readonly origin: Origin;
  /** `undefined` in an answer to a challenge that does not repeat the device IDs. */
  readonly deviceIds: readonly string[] | undefined;
}

/** Deletes devices by ID, once their user has proven who they are. */
@Injectable()
export class DeviceDeletionService {
  constructor(
    private readonly uia: UiaService,
    private readonly accounts: AccountsService,
    private readonly sessions: SessionService,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  /**
   * Deletes the devices with everything that belongs to them, in one commit. Devices that do not exist are ignored,
   * so a second call also succeeds; with the authentication session of the first one, it needs no new proof.
   * @throws {UiaChallenge} until the user has given the password; application services need none
   * @throws {MatrixError} `M_LIMIT_EXCEEDED`; `M_FORBIDDEN` for somebody else's password; `M_UNKNOWN_TOKEN` if the
   *   session has ended in the meantime
   */
  async delete(requester: Requester, deletion: Deletion): Promise<void> {
    const proof = await this.prove(requester, deletion);
    const { parameters, credential } = proof;
    // The request is a repeat, because its response was lost.
    if (proof.result !== null) return;
    const { devices } = parameters as { devices?: string[] };
    if (devices === undefined) throw MatrixError.missingParam('devices');
    await this.unitOfWork.run(async (tx) => {
      const account = await this.accounts.hold(tx, requester.userId);
      requireActive(account);
      requireUnchanged(account, credential);
      await this.sessions.endDevices(tx, requester, devices, deletion.origin);
      await this.uia.finish(tx, proof);
    });
  }

  private async prove(
    { userId, device, isAppservice }: Requester,
    { deviceIds, origin, ...operation }: Deletion,
  ): Promise<Authorised> {
    const parameters =
      deviceIds === undefined ? {} : { devices: [...new Set(deviceIds)].filter(isDeviceId).toSorted() };
    if (isAppservice) return withoutProof(parameters, userId);
    if (deviceIds === undefined && operation.auth?.['session'] === undefined)
      throw MatrixError.missingParam('devices');
    return this.uia.authorise({
      ...operation,
      address: origin.address,
      userId,
      deviceId: device?.deviceId ?? null,
      flows: FLOWS,
      parameters,
      isFixed: true,
    });
  }
}
