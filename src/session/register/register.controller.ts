import { Body, Get, Query } from '@nestjs/common';
import { ApiExtraModels, ApiOkResponse, ApiOperation, ApiQuery, ApiTags } from '@nestjs/swagger';
import { PresentedToken, Public } from '../../auth/auth.decorators.js';
import { Environment } from '../../config/environment.js';
import {
  ApiExample,
  ApiInteractiveAuth,
  ApiJsonBodyErrors,
  ApiMatrixError,
  ApiRateLimit,
} from '../../matrix/api.decorators.js';
import { RateLimited } from '../../admission/rate-limited.decorator.js';
import { ClientOrigin, type Origin } from '../../matrix/client-origin.decorator.js';
import { ClientController, MatrixPost } from '../../matrix/client-api.decorators.js';
import { ChecksItself } from '../../matrix/json-body.guard.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { toDto } from '../../matrix/validation.pipe.js';
import { SessionDto, toSession } from '../session.dto.js';
import { RegisterDto } from './register.dto.js';
import { RegisterService, type Registration } from './register.service.js';
import { RegistrationGate } from './registration-gate.js';
import { RegistrationNames } from './registration-names.js';

@ClientController()
@ApiTags('Account management')
@ApiExtraModels(SessionDto)
@Public()
export class RegisterController {
  constructor(
    private readonly registrations: RegisterService,
    private readonly gate: RegistrationGate,
    private readonly names: RegistrationNames,
    private readonly environment: Environment,
  ) {}

  @MatrixPost('register')
  @ChecksItself('username')
  @ApiOperation({
    operationId: 'register',
    summary: 'Register for an account on this server',
    description:
      'Answers 401 with the flows first; `"auth": {"type": "m.login.dummy"}` may come with the first request. ' +
      'Guests and application services need no such proof.',
  })
  @ApiExample(RegisterDto, {
    username: 'alice',
    password: 'down-the-rabbit-hole',
    device_id: 'GHTYAJCE',
    initial_device_display_name: 'Swagger',
    auth: { type: 'm.login.dummy' },
  })
  @ApiQuery({ name: 'kind', required: false, enum: ['user', 'guest'] })
  @ApiOkResponse({
    description: 'The account has been registered. With `inhibit_login` the answer holds `user_id` alone.',
    type: SessionDto,
  })
  @ApiJsonBodyErrors(
    'M_USER_IN_USE',
    'M_INVALID_USERNAME',
    'M_EXCLUSIVE',
    'M_WEAK_PASSWORD',
    'M_TOO_LARGE',
    'M_UNKNOWN',
  )
  @ApiInteractiveAuth()
  @ApiMatrixError(403, 'Registration is closed, or not offered to guests.', ['M_FORBIDDEN'])
  @ApiRateLimit()
  async register(
    @Body() body: object,
    @ClientOrigin() origin: Origin,
    @PresentedToken() token: string | null,
    @Query('kind') kind: unknown = 'user',
  ): Promise<Partial<SessionDto>> {
    if (kind !== 'user' && kind !== 'guest') throw MatrixError.invalidParam('kind must be "user" or "guest"');
    if (kind === 'guest') {
      this.gate.requireOpen(kind);
      return toAnswer(await this.registrations.registerGuest(body, origin), this.environment.serverName);
    }
    const request = await toDto(RegisterDto, body);
    if (request.type === 'm.login.application_service') {
      return toAnswer(
        await this.registrations.registerForAppservice(request, token, origin),
        this.environment.serverName,
      );
    }
    this.gate.requireOpen(kind);
    return toAnswer(await this.registrations.registerUser(request, origin), this.environment.serverName);
  }

  @Get('register/available')
  @ApiOperation({ operationId: 'checkUsernameAvailability', summary: 'Whether a username is available' })
  @ApiQuery({ name: 'username', required: true, example: 'bob' })
  @ApiOkResponse({ description: 'It may; nothing is reserved.', schema: { example: { available: true } } })
  @ApiMatrixError(400, 'It may not.', [
    'M_USER_IN_USE',
    'M_INVALID_USERNAME',
    'M_EXCLUSIVE',
    'M_MISSING_PARAM',
  ])
  @ApiMatrixError(403, 'Registration is closed.', ['M_FORBIDDEN'])
  @RateLimited('available')
  async available(@Query('username') username: unknown): Promise<object> {
    if (typeof username !== 'string') throw MatrixError.missingParam('username');
    this.gate.requireOpen('user');
    await this.names.forPerson(username);
    return { available: true };
  }
}

function toAnswer({ userId, session }: Registration, serverName: string): Partial<SessionDto> {
  return session === null ? { user_id: userId, home_server: serverName } : toSession(session, serverName);
}
