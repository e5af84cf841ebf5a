import { Injectable } from '@nestjs/common';
import { Environment } from '../../config/environment.js';
import type { Tx } from '../../database/tx.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { RegistrationTokens } from '../../uia/registration-tokens.js';
import { UiaFlows } from '../../uia/uia-flows.port.js';
import { REGISTER_CALL, REGISTRATION_FLOWS, RegistrationGate } from './registration-gate.js';

/** Decides who may register on a page and what they must prove. */
@Injectable()
export class PageGate {
  constructor(
    private readonly environment: Environment,
    private readonly flows: UiaFlows,
    private readonly tokens: RegistrationTokens,
    private readonly gate: RegistrationGate,
  ) {}

  /** Whether people need a registration token. */
  get needsToken(): boolean {
    return this.environment.registration === 'token';
  }

  /** Whether people may register, and a page can ask for the proofs: those of teams, it cannot. */
  async isOpen(): Promise<boolean> {
    if (this.environment.registration === 'closed') return false;
    const own = this.needsToken ? REGISTRATION_FLOWS.token : REGISTRATION_FLOWS.open;
    const wanted = await this.flows.flowsOf({ name: REGISTER_CALL, userId: null }, own);
    return wanted.some((flow) => own[0]!.toString() === flow.toString());
  }

  /**
   * Counts a try, so that names cannot be tried without a limit.
   * @throws {MatrixError} `M_LIMIT_EXCEEDED`
   */
  async countTry(address: string): Promise<void> {
    await this.gate.countChallenge(address);
  }

  /**
   * Counts a registration and checks its token.
   * @throws {MatrixError} `M_FORBIDDEN` for a wrong token and while registration is closed; `M_LIMIT_EXCEEDED`
   */
  async admit(token: string | null, address: string): Promise<void> {
    if (!(await this.isOpen())) throw MatrixError.forbidden('Registration is closed');
    await this.gate.count(address);
    if (this.needsToken && (token === null || !(await this.tokens.isValid(token)))) throw invalid();
  }

  /**
   * Counts the use of the token in the transaction that creates the account.
   * @throws {MatrixError} `M_FORBIDDEN` if others have used it up meanwhile
   */
  async use(tx: Tx, token: string | null): Promise<void> {
    if (this.needsToken && (token === null || !(await this.tokens.useIn(tx, token)))) throw invalid();
  }
}

function invalid(): MatrixError {
  return MatrixError.forbidden('Invalid registration token');
}
