import { Injectable } from '@nestjs/common';
import { PasswordsService } from '../../accounts/passwords.service.js';
import { Environment } from '../../config/environment.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { RateLimiter } from '../../rate-limits/rate-limiter.js';
import { Entropy } from '../../system/entropy.js';
import { UiaService } from '../../uia/uia.service.js';
import { requireDeviceId } from '../session.rules.js';
import { type RegisterDto, toWantedAccount, type WantedAccount } from './register.dto.js';

const GENERATED_LENGTH = 11;
const GENERATED_ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';

const FLOWS = { open: [['m.login.dummy']], token: [['m.login.registration_token']] };

/** What came through the gate. */
export interface Admitted {
  readonly wanted: WantedAccount;
  readonly passwordHash: string;
}

/** Whether somebody may register, and what they must prove for it. */
@Injectable()
export class RegistrationGate {
  constructor(
    private readonly environment: Environment,
    private readonly uia: UiaService,
    private readonly passwords: PasswordsService,
    private readonly limiter: RateLimiter,
    private readonly entropy: Entropy,
  ) {}

  /** @throws {MatrixError} `M_LIMIT_EXCEEDED` when there were too many registrations from this address */
  async count(address: string): Promise<void> {
    await this.limiter.count('registration', address);
  }

  /** @throws {MatrixError} `M_LIMIT_EXCEEDED` when this address has opened too many challenges */
  async countChallenge(address: string): Promise<void> {
    await this.limiter.count('challenge', address);
  }

  /** @throws {MatrixError} `M_LIMIT_EXCEEDED` when this address has asked for too many names */
  async countLookup(address: string): Promise<void> {
    await this.limiter.count('available', address);
  }

  /** @throws {MatrixError} `M_FORBIDDEN` when registration of this kind is closed */
  requireOpen(kind: 'user' | 'guest'): void {
    const isOpen =
      kind === 'user' ? this.environment.registration !== 'closed' : this.environment.guestsAllowed;
    if (!isOpen)
      throw MatrixError.forbidden(
        kind === 'user' ? 'Registration is closed' : 'Guests are not admitted here',
      );
  }

  /**
   * Asks for the proof of a registration.
   * @param userId of the name that is wanted; `null` when any will do
   * @throws {UiaChallenge | MatrixError} until it is given
   */
  async pass(request: RegisterDto, userId: string | null, address: string): Promise<Admitted> {
    const { registration } = this.environment;
    const { auth, password } = request;
    // Whatever can be refused is refused before the proof is used up.
    requireDeviceId(request.device_id);
    // Passwords are not remembered between two requests, so the one that answers a challenge must bring it.
    if (auth !== undefined && password === undefined) throw MatrixError.missingParam('password');
    if (password !== undefined) await this.passwords.requireStrong(password, userId ?? '');
    if (auth !== undefined) await this.count(address);
    const passwordHash = auth === undefined ? '' : await this.passwords.hash(password!);
    const { parameters } = await this.uia.authorise({
      name: 'POST /register',
      userId: null,
      deviceId: null,
      flows: registration === 'token' ? FLOWS.token : FLOWS.open,
      parameters: toWantedAccount(request),
      auth,
      address,
    });
    return { wanted: { ...parameters, ...defined(toWantedAccount(request)) }, passwordHash };
  }

  /** A localpart for who wants none in particular. */
  generatedName(): string {
    return `u${this.entropy.text(GENERATED_LENGTH, GENERATED_ALPHABET)}`;
  }
}

function defined(wanted: WantedAccount): WantedAccount {
  return Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined));
}
