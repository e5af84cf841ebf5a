import { Body, Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Public } from '../../auth/auth.decorators.js';
import { Environment } from '../../config/environment.js';
import { ApiJsonBodyErrors, ApiMatrixError } from '../../matrix/api.decorators.js';
import { ClientController, MatrixPost } from '../../matrix/client-api.decorators.js';
import { SessionDto, toSession } from '../session.dto.js';
import { LoginDto } from './login.dto.js';
import { PASSWORD } from './login.rules.js';
import { LoginService } from './login.service.js';

@ClientController()
@ApiTags('Session management')
@Public()
export class LoginController {
  constructor(
    private readonly logins: LoginService,
    private readonly environment: Environment,
  ) {}

  @Get('login')
  @ApiOperation({ operationId: 'getLoginFlows', summary: 'The types of login on offer' })
  @ApiOkResponse({ description: 'The login types.', schema: { example: { flows: [{ type: PASSWORD }] } } })
  flows(): object {
    return { flows: [{ type: PASSWORD }] };
  }

  @MatrixPost('login')
  @ApiOperation({
    operationId: 'login',
    summary: 'Authenticates the user',
    description:
      'Begins a session. On a device that is already known, its earlier access and refresh tokens die and its keys stay.',
  })
  @ApiOkResponse({ description: 'The user has been authenticated.', type: SessionDto })
  @ApiJsonBodyErrors()
  @ApiMatrixError(403, 'Unknown user or wrong password; which of them is not told.', ['M_FORBIDDEN'])
  async login(@Body() request: LoginDto): Promise<SessionDto> {
    return toSession(await this.logins.login(request), this.environment.serverName);
  }
}
