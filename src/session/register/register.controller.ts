import { Body, Query } from '@nestjs/common';
import { ApiExtraModels, ApiOkResponse, ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import { Public } from '../../auth/auth.decorators.js';
import { Environment } from '../../config/environment.js';
import { ApiJsonBodyErrors, ApiMatrixError } from '../../matrix/api.decorators.js';
import { ClientController, MatrixPost } from '../../matrix/client-api.decorators.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { SessionDto, toSession } from '../session.dto.js';
import { RegisterDto } from './register.dto.js';
import { RegisterService } from './register.service.js';

@ClientController()
@ApiTags('Account management')
@ApiExtraModels(SessionDto)
@Public()
export class RegisterController {
  constructor(
    private readonly registrations: RegisterService,
    private readonly environment: Environment,
  ) {}

  @MatrixPost('register')
  @ApiOperation({
    operationId: 'register',
    summary: 'Register for an account on this server',
    description:
      'Answers 401 with the flows first; `"auth": {"type": "m.login.dummy"}` may come with the first request.',
  })
  @ApiQuery({ name: 'kind', required: false, enum: ['user', 'guest'] })
  @ApiOkResponse({
    description: 'The account has been registered. With `inhibit_login` the answer holds `user_id` alone.',
    type: SessionDto,
  })
  @ApiJsonBodyErrors()
  @ApiMatrixError(403, 'Registration is closed, or not offered to guests.', ['M_FORBIDDEN'])
  async register(
    @Body() request: RegisterDto,
    @Query('kind') kind: unknown = 'user',
  ): Promise<Partial<SessionDto>> {
    if (kind !== 'user' && kind !== 'guest') throw MatrixError.invalidParam('kind must be "user" or "guest"');
    if (kind === 'guest') throw MatrixError.forbidden('Guests are not admitted here');
    if (this.environment.registration === 'closed') throw MatrixError.forbidden('Registration is closed');
    const { userId, session } = await this.registrations.register(request);
    const { serverName } = this.environment;
    return session === null ? { user_id: userId, home_server: serverName } : toSession(session, serverName);
  }
}
