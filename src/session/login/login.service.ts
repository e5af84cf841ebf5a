import { Injectable } from '@nestjs/common';
import { AccountsService } from '../../accounts/accounts.service.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { Entropy } from '../../system/entropy.js';
import { chooseDeviceId, type StartedSession } from '../session.rules.js';
import { SessionService } from '../session.service.js';
import type { LoginDto } from './login.dto.js';
import { PASSWORD, userOf } from './login.rules.js';

/** Proves who logs in, and begins their session. */
@Injectable()
export class LoginService {
  constructor(
    private readonly accounts: AccountsService,
    private readonly sessions: SessionService,
    private readonly unitOfWork: UnitOfWork,
    private readonly entropy: Entropy,
  ) {}

  async login(request: LoginDto): Promise<StartedSession> {
    if (request.type !== PASSWORD) throw new MatrixError(400, 'M_UNKNOWN', 'Unknown login type');
    const user = userOf(request);
    if (request.password === undefined) throw MatrixError.missingParam('password');
    const deviceId = chooseDeviceId(request.device_id, this.entropy);
    const userId = await this.accounts.verifyPassword(user, request.password);
    return this.unitOfWork.run((tx) =>
      this.sessions.start(tx, {
        userId,
        deviceId,
        initialDeviceDisplayName: request.initial_device_display_name ?? null,
        refreshable: request.refresh_token ?? false,
      }),
    );
  }
}
