import { Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentRequester, GuestsAllowed } from '../../auth/auth.decorators.js';
import type { Requester } from '../../auth/requester.js';
import { ApiAccessToken } from '../../matrix/api.decorators.js';
import { ClientController } from '../../matrix/client-api.decorators.js';

@ClientController()
@ApiTags('Account management')
@ApiAccessToken()
export class WhoamiController {
  @Get('account/whoami')
  @GuestsAllowed()
  @ApiOperation({ operationId: 'getTokenOwner', summary: 'Whose access token this is' })
  @ApiOkResponse({
    description: 'The token belongs to a known user.',
    schema: { example: { user_id: '@alice:localhost', device_id: 'GHTYAJCE', is_guest: false } },
  })
  whoami(@CurrentRequester() { userId, device, isGuest }: Requester): object {
    return { user_id: userId, ...(device === null ? {} : { device_id: device.deviceId }), is_guest: isGuest };
  }
}
