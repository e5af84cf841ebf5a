import { Injectable } from '@nestjs/common';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { ClientsService } from '../../oauth/clients/clients.service.js';
import { DeviceGrantsService } from '../../oauth/device-grant/device-grants.service.js';
import { BrowserSessions } from '../browser/browser-sessions.service.js';
import { appViewOf } from '../consent/consent.pages.js';
import type { LinkView } from '../templates/views.js';
import type { SignedInVisit } from '../visit.js';
import { UserCodes } from './user-codes.js';

/** A device that waits. */
export type WaitingDevice = Omit<NonNullable<LinkView['device']>, 'isDeviceKnown'>;

/** Finds devices by the code that somebody types, and lets them in. */
@Injectable()
export class LinkService {
  constructor(
    private readonly grants: DeviceGrantsService,
    private readonly clients: ClientsService,
    private readonly codes: UserCodes,
    private readonly browsers: BrowserSessions,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  /**
   * The device that waits with this code; `null` if there is none. Wrong codes are counted.
   * @throws {MatrixError} `M_LIMIT_EXCEEDED`
   */
  async find(visit: SignedInVisit, code: string | null): Promise<WaitingDevice | null> {
    return this.codes.count(visit, async () => {
      const grant = code === null ? null : await this.grants.findOpen(code);
      const client = grant === null ? null : await this.clients.find(grant.clientId);
      return grant === null || client === null ? null : { ...grant, app: appViewOf(client, false) };
    });
  }

  /**
   * Lets the device in, or refuses it for good.
   * @returns whether it still waited
   * @throws {MatrixError} `M_LIMIT_EXCEEDED`
   */
  async decide(visit: SignedInVisit, code: string | null, isApproved: boolean): Promise<boolean> {
    const { session } = visit.signedIn;
    const decided = await this.codes.count(visit, () =>
      this.unitOfWork.run(async (tx) => {
        await this.browsers.hold(tx, session);
        const grant = code === null ? null : await this.grants.decide(tx, code, session.userId, isApproved);
        if (grant !== null) this.codes.record(tx, visit, grant, isApproved);
        return grant;
      }),
    );
    return decided !== null;
  }
}
