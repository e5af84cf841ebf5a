import { Injectable } from '@nestjs/common';
import { AuditService } from '../../audit/audit.service.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { DevicesService } from '../../devices/devices.service.js';
import { CROSS_SIGNING_UPLOAD } from '../../uia/uia-operation.js';
import { UiaApprovals } from '../../uia/uia-approvals.js';
import { BrowserSessions } from '../browser/browser-sessions.service.js';
import type { ResetView } from '../templates/views.js';
import type { SignedInVisit } from '../visit.js';

/** Lets users agree to other cross-signing keys: those that one device asks for, and no others. */
@Injectable()
export class ResetService {
  constructor(
    private readonly approvals: UiaApprovals,
    private readonly devices: DevicesService,
    private readonly browsers: BrowserSessions,
    private readonly audit: AuditService,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  /** The device that waits, the latest if there are several. */
  async waiting({ signedIn: { session } }: SignedInVisit): Promise<ResetView['waiting']> {
    const { userId } = session;
    const [request] = await this.approvals.waitingFor(userId, CROSS_SIGNING_UPLOAD);
    if (request === undefined || request.deviceId === null) return null;
    const { sessionId, deviceId } = request;
    const device = (await this.devices.list(userId)).find((one) => one.deviceId === deviceId);
    return { sessionId, deviceId, device: device?.displayName ?? deviceId };
  }

  /**
   * Agrees to what one device asks for.
   * @returns whether it still waits
   */
  async approve({ signedIn: { session }, origin }: SignedInVisit, sessionId: string): Promise<boolean> {
    const { userId } = session;
    return this.unitOfWork.run(async (tx) => {
      await this.browsers.hold(tx, session);
      const approved = await this.approvals.approve(tx, { userId, sessionId }, CROSS_SIGNING_UPLOAD);
      if (approved === null) return false;
      this.audit.record(tx, 'reset_approved', [{ userId, deviceId: approved.deviceId }], () => origin);
      return true;
    });
  }
}
