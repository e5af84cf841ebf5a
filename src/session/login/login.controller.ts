import { Body, Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { PresentedToken, Public } from '../../auth/auth.decorators.js';
import { Environment } from '../../config/environment.js';
import { ApiExample, ApiJsonBodyErrors, ApiMatrixError, ApiRateLimit } from '../../matrix/api.decorators.js';
import { ClientOrigin, type Origin } from '../../matrix/client-origin.decorator.js';
import { ClientController, MatrixPost } from '../../matrix/client-api.decorators.js';
import { type Attempt, RateLimiter } from '../../admission/rate-limiter.js';
import { SessionDto, toSession } from '../session.dto.js';
import { LoginDto } from './login.dto.js';
import { LoginFlows, OWN_FLOWS } from './login-flow.port.js';
import { LoginService } from './login.service.js';

@ClientController()
@ApiTags('Session management')
@Public()
export class LoginController {
  constructor(
    private readonly logins: LoginService,
    private readonly environment: Environment,
    private readonly limiter: RateLimiter,
    private readonly loginFlows: LoginFlows,
  ) {}

  @Get('login')
  @ApiOperation({ operationId: 'getLoginFlows', summary: 'The types of login on offer' })
  @ApiOkResponse({ description: 'The login types.', schema: { example: { flows: OWN_FLOWS } } })
  flows(): object {
    return { flows: this.loginFlows.onOffer() };
  }

  @MatrixPost('login')
  @ApiOperation({
    operationId: 'login',
    summary: 'Authenticates the user',
    description:
      'Begins a session. On a device that is already known, its earlier access and refresh tokens die and its keys stay.',
  })
  @ApiExample(LoginDto, {
    type: 'm.login.password',
    identifier: { type: 'm.id.user', user: 'alice' },
    password: 'down-the-rabbit-hole',
    device_id: 'GHTYAJCE',
  })
  @ApiOkResponse({ description: 'The user has been authenticated.', type: SessionDto })
  @ApiJsonBodyErrors('M_UNKNOWN', 'M_TOO_LARGE')
  @ApiMatrixError(403, 'Unknown user, wrong password or bad login token; a deactivated account.', [
    'M_FORBIDDEN',
    'M_USER_DEACTIVATED',
    'M_EXCLUSIVE',
  ])
  @ApiMatrixError(401, 'The account is locked, or the application service is unknown.', [
    'M_USER_LOCKED',
    'M_MISSING_TOKEN',
    'M_UNKNOWN_TOKEN',
  ])
  @ApiRateLimit()
  async login(
    @Body() request: LoginDto,
    @ClientOrigin() origin: Origin,
    @PresentedToken() token: string | null,
  ): Promise<SessionDto> {
    // Failed passwords are counted where the password is checked.
    const attempts: Attempt[] = this.loginFlows.countsItself(request.type)
      ? []
      : [['login_failed_address', origin.address]];
    const session = await this.limiter.countFailures(attempts, () =>
      this.logins.login(request, { ...origin, token }),
    );
    return toSession(session, this.environment.serverName);
  }
}
