import { Injectable, type OnModuleInit } from '@nestjs/common';
import { MatrixError } from '../matrix/matrix-error.js';
import { type Proven, type StageAttempt, UiaRefusal, UiaStage } from '../uia/uia-stage.port.js';
import { UiaStages } from '../uia/uia-stages.js';
import { type Named, toLogin } from './login-identifier.rules.js';
import { PasswordProofs } from './password-proofs.js';

/** Asks the user for their password ("Password-based"). */
@Injectable()
export class PasswordStage extends UiaStage implements OnModuleInit {
  readonly type = 'm.login.password';

  constructor(
    private readonly passwords: PasswordProofs,
    private readonly stages: UiaStages,
  ) {
    super();
  }

  onModuleInit(): void {
    this.stages.add(this);
  }

  /** Older clients name the user as `user`, and some name nobody if the token says who it is. */
  async attempt({ auth, userId, address }: StageAttempt): Promise<Proven> {
    const { password } = auth;
    if (typeof password !== 'string') throw MatrixError.missingParam('password');
    const named: Named = auth;
    const isNamed = [named.identifier, named.user, named.medium].some(
      (one) => (one ?? undefined) !== undefined,
    );
    const login = userId !== null && !isNamed ? { type: 'm.id.user' as const, user: userId } : toLogin(named);
    const proven = await this.passwords.verify(login, password, address);
    // Another user's password is no proof, and asking again would not help.
    if (userId !== null && proven.userId !== userId)
      throw new UiaRefusal('These are the credentials of another user');
    return proven;
  }
}
