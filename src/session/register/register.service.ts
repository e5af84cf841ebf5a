import { Injectable } from '@nestjs/common';
import { AccountsService } from '../../accounts/accounts.service.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { Entropy } from '../../system/entropy.js';
import { UiaService } from '../../uia/uia.service.js';
import { chooseDeviceId, type StartedSession } from '../session.rules.js';
import { SessionService } from '../session.service.js';
import type { RegisterDto } from './register.dto.js';

const FLOWS = [['m.login.dummy']];
const GENERATED_LENGTH = 12;
const GENERATED_ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';

/** What a registration made: an account, and a session unless none was wanted. */
export interface Registration {
  readonly userId: string;
  readonly session: StartedSession | null;
}

/** Makes accounts for whoever asks, and begins their first session. */
@Injectable()
export class RegisterService {
  constructor(
    private readonly accounts: AccountsService,
    private readonly sessions: SessionService,
    private readonly uia: UiaService,
    private readonly unitOfWork: UnitOfWork,
    private readonly entropy: Entropy,
  ) {}

  async register(request: RegisterDto): Promise<Registration> {
    // A name that cannot be had is told before the user is asked to prove anything.
    const wanted = request.username ? await this.accounts.nameFor(request.username) : null;
    const deviceId = chooseDeviceId(request.device_id, this.entropy);
    if (request.auth !== undefined && request.password === undefined)
      throw MatrixError.missingParam('password');
    await this.uia.authorise({
      name: 'POST /register',
      userId: null,
      flows: FLOWS,
      parameters: {},
      auth: request.auth,
    });
    const userId =
      wanted ?? (await this.accounts.nameFor(this.entropy.text(GENERATED_LENGTH, GENERATED_ALPHABET)));
    const passwordHash = await this.accounts.hashPassword(request.password!);
    return this.unitOfWork.run(async (tx) => {
      await this.accounts.create(tx, userId, passwordHash);
      if (request.inhibit_login) return { userId, session: null };
      const session = await this.sessions.start(tx, {
        userId,
        deviceId,
        initialDeviceDisplayName: request.initial_device_display_name ?? null,
        refreshable: request.refresh_token ?? false,
      });
      return { userId, session };
    });
  }
}
