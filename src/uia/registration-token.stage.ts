import { Injectable, type OnModuleInit } from '@nestjs/common';
import { MatrixError } from '../matrix/matrix-error.js';
import { RegistrationTokens } from './registration-tokens.js';
import { type StageAttempt, UiaStage } from './uia-stage.port.js';
import { UiaStages } from './uia-stages.js';

/** The user sends a token that the operator gave them ("Token-authenticated registration"). */
@Injectable()
export class RegistrationTokenStage extends UiaStage implements OnModuleInit {
  readonly type = 'm.login.registration_token';

  constructor(
    private readonly tokens: RegistrationTokens,
    private readonly stages: UiaStages,
  ) {
    super();
  }

  onModuleInit(): void {
    this.stages.add(this);
  }

  async attempt({ auth: { token } }: StageAttempt): Promise<null> {
    if (typeof token !== 'string') throw MatrixError.missingParam('token');
    if (!(await this.tokens.use(token))) throw MatrixError.forbidden('Invalid registration token');
    return null;
  }
}
