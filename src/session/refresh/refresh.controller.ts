import { Body } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Public } from '../../auth/auth.decorators.js';
import { ApiExample, ApiJsonBodyErrors, ApiMatrixError } from '../../matrix/api.decorators.js';
import { ClientOrigin, type Origin } from '../../matrix/client-origin.decorator.js';
import { ClientController, MatrixPost } from '../../matrix/client-api.decorators.js';
import { RateLimited } from '../../admission/rate-limited.decorator.js';
import { TokensDto, toTokens } from '../session.dto.js';
import { RefreshDto } from './refresh.dto.js';
import { RefreshService } from './refresh.service.js';

@ClientController()
@ApiTags('Session management')
@Public()
export class RefreshController {
  constructor(private readonly refreshes: RefreshService) {}

  @MatrixPost('refresh')
  @ApiOperation({
    operationId: 'refresh',
    summary: 'Refresh an access token',
    description:
      'The old refresh token stays good until a token of the new pair is first used, so a lost answer can be asked ' +
      'for again. Presented after that, it ends the session.',
  })
  @ApiExample(RefreshDto, { refresh_token: 'mxr_YWxpY2U_…' })
  @ApiOkResponse({ description: 'A new access token and refresh token.', type: TokensDto })
  @ApiJsonBodyErrors()
  @ApiMatrixError(
    401,
    'The refresh token is unknown, expired or was used already; the account is locked.',
    ['M_UNKNOWN_TOKEN', 'M_USER_LOCKED'],
    {
      soft_logout: { type: 'boolean', description: 'True while the device lives.' },
    },
  )
  @RateLimited('refresh')
  async refresh(@Body() { refresh_token }: RefreshDto, @ClientOrigin() origin: Origin): Promise<TokensDto> {
    return toTokens(await this.refreshes.rotate(refresh_token, origin));
  }
}
