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

/** When those may come back who found too many passwords waiting to be hashed. */
const QUEUE_RETRY_MS = 2_000;

/** What passwords prove, and which may be chosen. */
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
   * The user that name and password prove, whose account may be locked or deactivated. Unknown users and wrong
   * passwords take the same time, count alike and get the same answer.
   * @param address of the client, for its share of failed attempts
   * @throws {MatrixError} `M_FORBIDDEN`, or `M_LIMIT_EXCEEDED`
   */
  async verify(login: Login, password: string, address: string): Promise<Proven> {
    const user = await this.userOf(login);
    const account = user === null ? null : await this.accounts.find(user);
    // Counted before the password is looked at. All names of an account share its limit; a name of nobody has one
    // of its own, so that limits tell nothing of who exists.
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
   * Lets pass whose password may be changed here.
   * @throws {MatrixError} `M_FORBIDDEN`
   */
  async requireKeptHere(userId: string): Promise<void> {
    if (await this.verifier.keeps(userId))
      throw MatrixError.forbidden('The password of this account is kept elsewhere');
  }

  /**
   * Lets a new password pass when it is good enough.
   * @param userId whose it will be, as far as that is known
   * @throws {MatrixError} `M_WEAK_PASSWORD`
   */
  async requireStrong(password: string, userId: string): Promise<void> {
    const weakness = await this.policy.weakness(normalized(password), userId);
    if (weakness !== null) throw new MatrixError(400, 'M_WEAK_PASSWORD', weakness);
  }

  /** @throws {MatrixError} `M_LIMIT_EXCEEDED` when too many passwords are waiting to be hashed */
  hash(password: string): Promise<string> {
    return this.inTime(this.hasher.hash(normalized(password)));
  }

  /** Whether a hash is that of the password. */
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
    // Hashes of old are of passwords as they were typed.
    const isOfOld = !matches && password !== normalized(password);
    if (!matches && !(isOfOld && (await this.inTime(this.hasher.matches(passwordHash, password)))))
      return null;
    const own = account!.userId;
    return { userId: own, credential: await this.upToDate(own, passwordHash!, password, isOfOld) };
  }

  /**
   * The hash of a password that has proven right, made anew with today's settings. Whoever else makes it anew at
   * the same time has written one that this password proves, too.
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
      // The password is right all the same; the next login tries again.
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

/** One form for what is typed: keyboards send the same letters composed or in parts (Unicode, NFKC). */
function normalized(password: string): string {
  return password.normalize('NFKC');
}
