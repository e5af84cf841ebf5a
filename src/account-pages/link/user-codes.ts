import { Injectable } from '@nestjs/common';
import { type Attempt, RateLimiter } from '../../admission/rate-limiter.js';
import { AuditService } from '../../audit/audit.service.js';
import type { Tx } from '../../database/tx.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { Refusals } from '../../matrix/refusals.js';
import type { SignedInVisit } from '../visit.js';

/** Keeps people from guessing user codes, and records what they decide. */
@Injectable()
export class UserCodes {
  constructor(
    private readonly limiter: RateLimiter,
    private readonly audit: AuditService,
    private readonly refusals: Refusals,
  ) {}

  /**
   * Counts an attempt that finds nothing, for the user and for the address.
   * @throws {MatrixError} `M_LIMIT_EXCEEDED`
   */
  async count<Found>(visit: SignedInVisit, find: () => Promise<Found | null>): Promise<Found | null> {
    const { origin, signedIn, request } = visit;
    const attempts: Attempt[] = [
      ['user_code_address', origin.address],
      ['user_code_user', signedIn.account.userId],
    ];
    try {
      return await this.limiter.countFailures(attempts, async () => {
        const found = await find();
        if (found === null) throw new WrongCode();
        return found;
      });
    } catch (error) {
      if (!(error instanceof WrongCode)) throw error;
      this.refusals.refused(request, error);
      return null;
    }
  }

  record(
    tx: Tx,
    { origin, signedIn }: SignedInVisit,
    { clientId, deviceId }: { readonly clientId: string; readonly deviceId: string },
    isApproved: boolean,
  ): void {
    const about = [{ userId: signedIn.account.userId, deviceId }];
    this.audit.record(tx, isApproved ? 'device_approved' : 'device_refused', about, () => origin, {
      clientId,
    });
  }
}

/** Counted like any other refusal. */
class WrongCode extends MatrixError {
  constructor() {
    super(403, 'M_FORBIDDEN', 'No device waits with this code');
  }
}
