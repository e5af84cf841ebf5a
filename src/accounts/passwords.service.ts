import { Injectable } from '@nestjs/common';
import { UnitOfWork } from '../database/unit-of-work.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { type Attempt, RateLimiter } from '../rate-limits/rate-limiter.js';
import { PasswordHasher, PasswordQueueFull } from '../system/password-hasher.js';
import type { Proven } from '../uia/uia-stage.port.js';
import type { AccountEntity } from './account.entity.js';
import { AccountsService } from './accounts.service.js';
import { type Login, toMsisdn } from './login-identifier.rules.js';
import { PasswordPolicy } from './password-policy.port.js';
import { PasswordVerifier } from './password-verifier.port.js';
import { ThreepidDirectory } from './threepid-directory.port.js';

/** When clients may try again after too many passwords were waiting to be hashed. */
const QUEUE_RETRY_MS = 2_000;

/** Verifies passwords and decides which new ones are allowed. */
@Injectable()
export class PasswordsService {
  constructor(
    private readonly accounts: AccountsService,
    private readonly hasher: PasswordHasher,
    private readonly policy: PasswordPolicy,
    private readonly verifier: PasswordVerifier,
    private readonly threepids: ThreepidDirectory,
    private readonly limiter: RateLimiter,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  /**
   * Returns the user that a name and a password prove. The account may be locked or deactivated. Unknown users and
   * wrong passwords take the same time, count alike and get the same answer.
   * @param address of the client, to count its failed attempts
   * @throws {MatrixError} `M_FORBIDDEN`, or `M_LIMIT_EXCEEDED`
   */
  async verify(login: Login, password: string, address: string): Promise<Proven> {
    const user = await this.userOf(login);
    const account = user === null ? null : await this.accounts.find(user);
    // Counted before the password is checked. All names of an account share its limit. An unknown name has a limit of
    // its own, so that limits do not reveal who exists.
    const attempts: Attempt[] = [
      ['login_failed_address', address],
      ['login_failed_account', account?.userId ?? this.nameOf(login)],
    ];
    await this.limiter.countAll(attempts);
    const proven = await this.prove(user, account, password);
    if (proven === null) throw MatrixError.forbidden('Invalid username or password');
    await this.limiter.forgive(attempts);
    return proven;
  }

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
   * @throws {MatrixError} `M_WEAK_PASSWORD`
   */
  async requireStrong(password: string, userId: string): Promise<void> {
    const weakness = await this.policy.weakness(normalized(password), userId);
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

  private async prove(
    user: string | null,
    account: AccountEntity | null,
    password: string,
  ): Promise<Proven | null> {
    const userId = account?.userId ?? (user === null ? null : this.accounts.localName(user));
    if (userId !== null && (await this.verifier.keeps(userId))) {
      if (!(await this.verifier.verify(userId, password))) return null;
      if (account === null) {
        await this.unitOfWork.run((tx) =>
          this.accounts.ensure(tx, { userId, kind: 'user', passwordHash: null }),
        );
      }
      return { userId, credential: null };
    }
    const passwordHash = account?.passwordHash ?? null;
    const matches = await this.inTime(this.hasher.matches(passwordHash, normalized(password)));
    // Older hashes were made of the password as it was typed, without normalisation.
    const isOfOld = !matches && password !== normalized(password);
    if (!matches && !(isOfOld && (await this.inTime(this.hasher.matches(passwordHash, password)))))
      return null;
    const own = account!.userId;
    return { userId: own, credential: await this.upToDate(own, passwordHash!, password, isOfOld) };
  }

  /**
   * Returns the hash of a correct password, made again with today's settings if it is outdated. If a concurrent login
   * made it again first, that hash must match this password too.
   */
  private async upToDate(
    userId: string,
    passwordHash: string,
    password: string,
    isOfOld: boolean,
  ): Promise<string> {
    if (!isOfOld && !this.hasher.isOutdated(passwordHash)) return passwordHash;
    try {
      const fresh = await this.hash(password);
      if (await this.accounts.rehash(userId, passwordHash, fresh)) return fresh;
    } catch {
      // The password is right anyway; the next login tries again.
      return passwordHash;
    }
    const { passwordHash: other = null } = (await this.accounts.findExactly(userId)) ?? {};
    if (!(await this.isOf(other, password))) throw MatrixError.forbidden('Invalid username or password');
    return other!;
  }

  private nameOf(login: Login): string {
    switch (login.type) {
      case 'm.id.user':
        return this.accounts.canonicalName(login.user);
      case 'm.id.thirdparty':
        return `${login.medium} ${login.address}`;
      case 'm.id.phone':
        return `msisdn ${toMsisdn(login)}`;
    }
  }

  private async userOf(login: Login): Promise<string | null> {
    switch (login.type) {
      case 'm.id.user':
        return login.user;
      case 'm.id.thirdparty':
        return this.threepids.find(login.medium, login.address);
      case 'm.id.phone':
        return this.threepids.find('msisdn', toMsisdn(login));
    }
  }

  private async inTime<Result>(hashing: Promise<Result>): Promise<Result> {
    try {
      return await hashing;
    } catch (error) {
      throw error instanceof PasswordQueueFull ? MatrixError.limitExceeded(QUEUE_RETRY_MS) : error;
    }
  }
}

/** Gives what is typed one form: keyboards send the same letters composed or decomposed (Unicode, NFKC). */
function normalized(password: string): string {
  return password.normalize('NFKC');
}
