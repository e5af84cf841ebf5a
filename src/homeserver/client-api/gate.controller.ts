import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { GuestsAllowed, TokenOptional } from '../../auth/auth.decorators.js';
import { ApiAccessToken, EMPTY_OBJECT } from '../../matrix/api.decorators.js';

/** Where a proxy asks, before each request to the homeserver, whether its token is good. */
@Controller('/_session/v1/gate')
@ApiTags('Homeserver')
@ApiAccessToken()
export class GateController {
  @Get()
  @TokenOptional()
  @GuestsAllowed()
  @ApiOperation({
    operationId: 'gate',
    summary: 'Whether a request may pass to the homeserver',
    description:
      'The token and the query are those of the request. Without a token it may pass, because many requests need none. ' +
      'Otherwise the answer to a refused one is what the client should get.',
  })
  @ApiOkResponse({ description: 'It may.', schema: EMPTY_OBJECT })
  pass(): object {
    return {};
  }
}
