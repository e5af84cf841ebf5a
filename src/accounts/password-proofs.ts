import { Injectable } from '@nestjs/common';
import { RateLimiter } from '../admission/rate-limiter.js';
import { MatrixError } from '../matrix/matrix-error.js';
import type { Proven } from '../uia/uia-stage.port.js';
import type { AccountEntity } from './account.entity.js';
import { AccountsService } from './accounts.service.js';
import type { Login } from './login-identifier.rules.js';
import { LoginNames } from './login-names.js';
import { PasswordVerifier } from './password-verifier.port.js';
import { PasswordsService } from './passwords.service.js';

/** Verifies who somebody is by their password. */
@Injectable()
export class PasswordProofs {
  constructor(
    private readonly accounts: AccountsService,
    private readonly passwords: PasswordsService,
    private readonly verifier: PasswordVerifier,
    private readonly names: LoginNames,
    private readonly limiter: RateLimiter,
  ) {}

  /**
   * Returns the user that a name and a password prove. The account may be locked or deactivated. Unknown users and
   * wrong passwords take the same time, count alike and get the same answer.
   * @param address of the client, to count its failed attempts
   * @throws {MatrixError} `M_FORBIDDEN`, or `M_LIMIT_EXCEEDED`
   */
  async verify(login: Login, password: string, address: string): Promise<Proven> {
    // The address first: one that has used up its limit causes no look-up.
    return this.limiter.countFailures([['login_failed_address', address]], async () => {
      const user = await this.names.userOf(login);
      const account = user === null ? null : await this.accounts.find(user);
      // All names of an account share its limit. An unknown name has a limit of its own, so that limits do not reveal
      // who exists.
      const name = account?.userId ?? this.names.nameOf(login);
      return this.limiter.countFailures([['login_failed_account', name]], async () => {
        const proven = await this.prove(user, account, password);
        if (proven === null) throw MatrixError.forbidden('Invalid username or password');
        return proven;
      });
    });
  }

  private async prove(
    user: string | null,
    account: AccountEntity | null,
    password: string,
  ): Promise<Proven | null> {
    const userId = account?.userId ?? (user === null ? null : this.accounts.localName(user));
    if (userId !== null && (await this.verifier.keeps(userId))) {
      if (!(await this.verifier.verify(userId, password))) return null;
      if (account === null) await this.accounts.ensurePerson(userId);
      return { userId, credential: null };
    }
    const passwordHash = account?.passwordHash ?? null;
    const match = await this.passwords.compare(passwordHash, password);
    if (match === 'different') return null;
    const own = account!.userId;
    const credential = match === 'same' ? passwordHash : await this.hashAgain(own, passwordHash!, password);
    return { userId: own, credential };
  }

  /**
   * Hashes a correct password again with today's settings. If a concurrent login did so first, its hash must match
   * this password too.
   */
  private async hashAgain(userId: string, passwordHash: string, password: string): Promise<string> {
    try {
      const fresh = await this.passwords.hash(password);
      if (await this.accounts.rehash(userId, passwordHash, fresh)) return fresh;
    } catch {
      // The password is right anyway; the next login tries again.
      return passwordHash;
    }
    const { passwordHash: other = null } = (await this.accounts.findExactly(userId)) ?? {};
    if (!(await this.passwords.isOf(other, password)))
      throw MatrixError.forbidden('Invalid username or password');
    return other!;
  }
}
