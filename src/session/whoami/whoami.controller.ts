import { Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentRequester } from '../../auth/auth.decorators.js';
import type { Requester } from '../../auth/requester.js';
import { ApiAccessToken } from '../../matrix/api.decorators.js';
import { ClientController } from '../../matrix/client-api.decorators.js';

@ClientController()
@ApiTags('Account management')
@ApiAccessToken()
export class WhoamiController {
  @Get('account/whoami')
  @ApiOperation({ operationId: 'getTokenOwner', summary: 'Whose access token this is' })
  @ApiOkResponse({
    description: 'The token belongs to a known user.',
    schema: { example: { user_id: '@alice:localhost', device_id: 'GHTYAJCE', is_guest: false } },
  })
  whoami(@CurrentRequester() { userId, deviceId }: Requester): object {
    return { user_id: userId, device_id: deviceId, is_guest: false };
  }
}
