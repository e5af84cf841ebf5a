import { createHash, timingSafeEqual } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import type { Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { Clock } from '../system/clock.js';
import { Entropy } from '../system/entropy.js';
import type { RegistrationTokenEntity } from './registration-token.entity.js';
import { RegistrationTokensStore, type TokenTerms } from './registration-tokens.store.js';

const GENERATED_LENGTH = 16;
const GENERATED_ALPHABET = 'ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789';
/** What a token may be ("Token-authenticated registration"). */
const FORM = /^[\w.~-]{1,64}$/;

/**
 * The registration tokens that the operator has given out: those of `REGISTRATION_TOKENS`, which are good without end,
 * and those that administrators make.
 */
@Injectable()
export class RegistrationTokens {
  private readonly digests: readonly Buffer[];

  constructor(
    private readonly store: RegistrationTokensStore,
    private readonly clock: Clock,
    private readonly entropy: Entropy,
    private readonly unitOfWork: UnitOfWork,
    { registrationTokens }: Environment,
  ) {
    this.digests = registrationTokens.map(digest);
  }

  /** Whether the token is good for another account. */
  async isValid(token: string): Promise<boolean> {
    return this.isConfigured(token) || (FORM.test(token) && this.store.isGood(token, this.clock.now()));
  }

  /** Counts a use of the token. Returns whether it was good: of several uses at once, no more than it has left. */
  async use(token: string): Promise<boolean> {
    return this.isConfigured(token) || (FORM.test(token) && this.store.use(token, this.clock.now()));
  }

  /** The same, in the transaction that creates the account. */
  async useIn(tx: Tx, token: string): Promise<boolean> {
    return this.isConfigured(token) || (FORM.test(token) && this.store.useIn(tx, token));
  }

  /** The next tokens behind one, in their order. Those of `REGISTRATION_TOKENS` are not among them. */
  list(behind: string, limit: number): Promise<RegistrationTokenEntity[]> {
    return this.store.list(behind, limit);
  }

  /** @throws {MatrixError} `M_NOT_FOUND` */
  async get(token: string): Promise<RegistrationTokenEntity> {
    return found(await this.store.find(token));
  }

  /**
   * @param token `null`: one is made up
   * @param alongside called in the transaction, if the token is made
   * @throws {MatrixError} `M_INVALID_PARAM` if the token exists, or cannot be one
   */
  async create(
    token: string | null,
    terms: TokenTerms,
    by: string,
    alongside: (tx: Tx, token: string) => void,
  ): Promise<RegistrationTokenEntity> {
    const name = token ?? this.entropy.text(GENERATED_LENGTH, GENERATED_ALPHABET);
    if (!FORM.test(name)) throw MatrixError.invalidParam('A token has 1 to 64 of 0-9A-Za-z._~-');
    return this.unitOfWork.run(async (tx) => {
      const made = this.isConfigured(name) ? null : await this.store.insert(tx, name, terms, by);
      if (made === null) throw MatrixError.invalidParam('There is such a token already');
      alongside(tx, name);
      return made;
    });
  }

  /**
   * @param alongside called in the transaction, if there is such a token
   * @throws {MatrixError} `M_NOT_FOUND`
   */
  change(
    token: string,
    terms: Partial<TokenTerms>,
    alongside: (tx: Tx) => void,
  ): Promise<RegistrationTokenEntity> {
    return this.unitOfWork.run(async (tx) => {
      const changed = found(await this.store.change(tx, token, terms));
      alongside(tx);
      return changed;
    });
  }

  /**
   * Nobody can register with the token any more.
   * @param alongside called in the transaction, if there was such a token
   * @throws {MatrixError} `M_NOT_FOUND`
   */
  async revoke(token: string, alongside: (tx: Tx) => void): Promise<void> {
    await this.unitOfWork.run(async (tx) => {
      if (!(await this.store.delete(tx, token))) found(null);
      alongside(tx);
    });
  }

  /** Its timing reveals nothing about the valid ones. */
  private isConfigured(token: string): boolean {
    const presented = digest(token);
    return this.digests.filter((known) => timingSafeEqual(known, presented)).length > 0;
  }
}

function found(token: RegistrationTokenEntity | null): RegistrationTokenEntity {
  if (token === null) throw MatrixError.notFound('There is no such token that administrators have made');
  return token;
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
