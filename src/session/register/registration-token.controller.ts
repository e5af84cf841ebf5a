import { Controller, Get, Query } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import { Public } from '../../auth/auth.decorators.js';
import { Environment } from '../../config/environment.js';
import { ApiMatrixError } from '../../matrix/api.decorators.js';
import { CLIENT_V1 } from '../../matrix/client-api.decorators.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { RateLimited } from '../../admission/rate-limited.decorator.js';
import { RegistrationTokens } from '../../uia/registration-tokens.js';

@Controller(CLIENT_V1)
@ApiTags('Account management')
@Public()
export class RegistrationTokenController {
  constructor(
    private readonly tokens: RegistrationTokens,
    private readonly environment: Environment,
  ) {}

  @Get('register/m.login.registration_token/validity')
  @ApiOperation({
    operationId: 'registrationTokenValidity',
    summary: 'Whether a registration token is valid',
  })
  @ApiQuery({ name: 'token', required: true, example: 'wonderland' })
  @ApiOkResponse({ description: 'Whether it is good now.', schema: { example: { valid: true } } })
  @ApiMatrixError(400, 'There is no token to look at.', ['M_MISSING_PARAM'])
  @ApiMatrixError(403, 'Registration is closed.', ['M_FORBIDDEN'])
  @RateLimited('validity')
  async validity(@Query('token') token: unknown): Promise<object> {
    if (this.environment.registration === 'closed') throw MatrixError.forbidden('Registration is closed');
    if (typeof token !== 'string') throw MatrixError.missingParam('token');
    return { valid: await this.tokens.isValid(token) };
  }
}
