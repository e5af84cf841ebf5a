import { Injectable } from '@nestjs/common';
import { LimitExceeded, MatrixError } from '../matrix/matrix-error.js';
import { PasswordHasher, PasswordQueueFull } from '../system/password-hasher.js';
import { PasswordPolicy } from './password-policy.port.js';
import { PasswordVerifier } from './password-verifier.port.js';

/** When clients may try again after too many passwords were waiting to be hashed. */
const QUEUE_RETRY_MS = 2_000;

/** Decides which new passwords are allowed, and hashes them. */
@Injectable()
export class PasswordsService {
  constructor(
    private readonly hasher: PasswordHasher,
    private readonly policy: PasswordPolicy,
    private readonly verifier: PasswordVerifier,
  ) {}

  /**
   * Checks that the password of this user can be changed here.
   * @throws {MatrixError} `M_FORBIDDEN`
   */
  async requireKeptHere(userId: string): Promise<void> {
    if (await this.verifier.keeps(userId))
      throw MatrixError.forbidden('The password of this account is kept elsewhere');
  }

  /**
   * Checks that a new password is good enough.
   * @param userId the user that it is for, if already known
   * @param language of the error
   * @throws {MatrixError} `M_WEAK_PASSWORD`
   */
  async requireStrong(password: string, userId: string, language?: string): Promise<void> {
    const weakness = await this.policy.weakness(normalized(password), userId, language);
    if (weakness !== null) throw new MatrixError(400, 'M_WEAK_PASSWORD', weakness);
  }

  /** @throws {MatrixError} `M_LIMIT_EXCEEDED` if too many passwords are waiting to be hashed */
  hash(password: string): Promise<string> {
    return this.inTime(this.hasher.hash(normalized(password)));
  }

  /** Whether the hash is that of the password. */
  isOf(passwordHash: string | null, password: string): Promise<boolean> {
    return this.inTime(this.hasher.matches(passwordHash, normalized(password)));
  }

  /**
   * Whether the hash is that of the password. `outdated`: it is, but was made with other settings, or of the password
   * as it was typed, without normalisation.
   */
  async compare(passwordHash: string | null, password: string): Promise<'same' | 'outdated' | 'different'> {
    if (await this.isOf(passwordHash, password))
      return this.hasher.isOutdated(passwordHash!) ? 'outdated' : 'same';
    const isAsTyped =
      password !== normalized(password) && (await this.inTime(this.hasher.matches(passwordHash, password)));
    return isAsTyped ? 'outdated' : 'different';
  }

  private async inTime<Result>(hashing: Promise<Result>): Promise<Result> {
    try {
      return await hashing;
    } catch (error) {
      throw error instanceof PasswordQueueFull
        ? new LimitExceeded(QUEUE_RETRY_MS, 'PASSWORD_HASH_QUEUE')
        : error;
    }
  }
}

/** Gives what is typed one form: keyboards send the same letters composed or decomposed (Unicode, NFKC). */
function normalized(password: string): string {
  return password.normalize('NFKC');
}
