import { Injectable } from '@nestjs/common';
import { PasswordsService } from '../../accounts/passwords.service.js';
import { Environment } from '../../config/environment.js';
import type { Tx } from '../../database/tx.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { toUserId } from '../../matrix/user-id.js';
import { RateLimiter } from '../../admission/rate-limiter.js';
import { Entropy } from '../../system/entropy.js';
import type { Authorised } from '../../uia/uia-operation.js';
import { UiaService } from '../../uia/uia.service.js';
import { requireDeviceId } from '../../device-rows/device.rules.js';
import { type RegisterDto, toWantedAccount, type WantedAccount, type WantedGuest } from './register.dto.js';

const GENERATED_LENGTH = 11;
const GENERATED_ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';

/** The proofs that the service itself wants, by `REGISTRATION`. */
export const REGISTRATION_FLOWS = { open: [['m.login.dummy']], token: [['m.login.registration_token']] };

/** A registration that passed the gate. */
export interface Admitted {
  readonly wanted: WantedAccount;
  readonly passwordHash: string;
  readonly proof: Authorised;
}

/** The result of a registration. */
export interface Registered {
  readonly userId: string;
  /** `null` when no session was wanted. */
  readonly deviceId: string | null;
  readonly passwordHash: string;
}

/** The call that the proofs are for. */
export const REGISTER_CALL = 'POST /register';

/** Decides who may register and what they must prove. */
@Injectable()
export class RegistrationGate {
  constructor(
    private readonly environment: Environment,
    private readonly uia: UiaService,
    private readonly passwords: PasswordsService,
    private readonly limiter: RateLimiter,
    private readonly entropy: Entropy,
  ) {}

  /** @throws {MatrixError} `M_LIMIT_EXCEEDED` after too many registrations from this address */
  async count(address: string): Promise<void> {
    await this.limiter.count('registration', address);
  }

  /** @throws {MatrixError} `M_LIMIT_EXCEEDED` when this address has opened too many challenges */
  async countChallenge(address: string): Promise<void> {
    await this.limiter.count('challenge', address);
  }

  /** @throws {MatrixError} `M_FORBIDDEN` when registration of this kind is closed */
  requireOpen(kind: 'user' | 'guest'): void {
    const isOpen =
      kind === 'user' ? this.environment.registration !== 'closed' : this.environment.guestsAllowed;
    if (!isOpen)
      throw MatrixError.forbidden(
        kind === 'user' ? 'Registration is closed' : 'Guests may not register here',
      );
  }

  /**
   * Asks for the proof of a registration.
   * @param asked `userId`: the wanted user ID, or `null` if any will do; `guest`: the guest to be upgraded, which
   *   is remembered with the authentication session
   * @throws {UiaChallenge | MatrixError} until the proof is complete
   */
  async pass(
    request: RegisterDto,
    { userId, guest }: { readonly userId: string | null; readonly guest: WantedGuest | null },
    address: string,
  ): Promise<Admitted> {
    const { registration } = this.environment;
    const { auth, password } = request;
    // Refuse everything that can be refused before the proof is used up.
    requireDeviceId(request.device_id);
    if (password !== undefined) await this.passwords.requireStrong(password, userId ?? '');
    const isAttempt = (auth?.['type'] ?? undefined) !== undefined;
    if (isAttempt) await this.count(address);
    const hash = password === undefined ? null : () => this.passwords.hash(password);
    // Without an authentication session, no password can have been remembered.
    if (hash === null && isAttempt && typeof auth?.['session'] !== 'string')
      throw MatrixError.missingParam('password');
    const proof = await this.uia.authorise({
      name: REGISTER_CALL,
      userId: null,
      deviceId: null,
      flows: registration === 'token' ? REGISTRATION_FLOWS.token : REGISTRATION_FLOWS.open,
      parameters: toWantedAccount(request, guest),
      secret: hash,
      auth,
      address,
    });
    const passwordHash = (await hash?.()) ?? proof.secret;
    if (passwordHash === null) throw MatrixError.missingParam('password');
    return { wanted: { ...proof.parameters, ...defined(toWantedAccount(request)) }, passwordHash, proof };
  }

  /**
   * Returns the result of the registration that the request repeats because its response was lost; `null` if it is
   * not a repeat.
   * @throws {MatrixError} `M_FORBIDDEN` for a different request with the same authentication session
   */
  async earlier(request: RegisterDto): Promise<(Registered & { readonly wanted: WantedAccount }) | null> {
    const { auth, username, password } = request;
    const parameters = { ...toWantedAccount(request), username: undefined };
    const found = await this.uia.earlier({ name: REGISTER_CALL, auth, parameters });
    if (found === null) return null;
    const registered = found.result as unknown as Registered;
    const isSame =
      (!username || toUserId(username.toLowerCase(), this.environment.serverName) === registered.userId) &&
      (password === undefined || (await this.passwords.isOf(registered.passwordHash, password)));
    if (!isSame)
      throw MatrixError.forbidden('The authentication session was started for a different request');
    return { ...registered, wanted: found.parameters };
  }

  /** Holds the authentication session; returns whether a registration has already been made with it. */
  async isUsed(tx: Tx, proof: Authorised): Promise<boolean> {
    return (await this.uia.hold(tx, proof)) !== null;
  }

  /** Remembers the result of the registration. */
  async finish(tx: Tx, proof: Authorised, registered: Registered, wanted: WantedAccount): Promise<void> {
    await this.uia.finish(tx, proof, { ...registered }, wanted);
  }

  /** Generates a localpart for a user who did not choose one. */
  generatedName(): string {
    return `u${this.entropy.text(GENERATED_LENGTH, GENERATED_ALPHABET)}`;
  }
}

function defined(wanted: WantedAccount): WantedAccount {
  return Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined));
}
