import { Injectable } from '@nestjs/common';
import { AccountsService } from '../../accounts/accounts.service.js';
import { PasswordsService } from '../../accounts/passwords.service.js';
import type { Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import { PageGate } from './page-gate.js';
import { RegistrationNames } from './registration-names.js';

/** What somebody types to get an account. */
export interface WantedOnPage {
  readonly username: string;
  readonly password: string;
  /** `null`: none was typed. */
  readonly token: string | null;
  /** Of the page. */
  readonly language: string;
}

/** Creates accounts for people who register on a page, by the rules of `POST /register`. */
@Injectable()
export class PageRegistration {
  constructor(
    private readonly gate: PageGate,
    private readonly names: RegistrationNames,
    private readonly passwords: PasswordsService,
    private readonly accounts: AccountsService,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  /** Whether people may register, and with no other proof than a page can ask for. */
  isOpen(): Promise<boolean> {
    return this.gate.isOpen();
  }

  /** Whether they need a registration token. */
  get needsToken(): boolean {
    return this.gate.needsToken;
  }

  /**
   * Creates the account, and whatever `alongside` adds, in one commit.
   * @throws {MatrixError} `M_INVALID_USERNAME`, `M_USER_IN_USE` or `M_EXCLUSIVE`; `M_WEAK_PASSWORD`; `M_FORBIDDEN` for
   *   a wrong token; `M_LIMIT_EXCEEDED`
   */
  async register<Result>(
    { username, password, token, language }: WantedOnPage,
    origin: Origin,
    alongside: (tx: Tx, userId: string) => Promise<Result>,
  ): Promise<Result> {
    await this.gate.countTry(origin.address);
    const userId = await this.names.forPerson(username);
    await this.passwords.requireStrong(password, userId, language);
    await this.gate.admit(token, origin.address);
    const passwordHash = await this.passwords.hash(password);
    return this.unitOfWork.run(async (tx) => {
      await this.gate.use(tx, token);
      await this.accounts.create(tx, { userId, kind: 'user', passwordHash }, origin);
      return alongside(tx, userId);
    });
  }
}
