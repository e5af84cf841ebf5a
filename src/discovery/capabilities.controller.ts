import { Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentRequester, GuestsAllowed } from '../auth/auth.decorators.js';
import type { Requester } from '../auth/requester.js';
import { Environment } from '../config/environment.js';
import { ApiAccessToken } from '../matrix/api.decorators.js';
import { ClientController } from '../matrix/client-api.decorators.js';

/** What the caller may do here ("Capabilities negotiation"). */
@ClientController()
@ApiTags('Capabilities')
@ApiAccessToken()
export class CapabilitiesController {
  constructor(private readonly environment: Environment) {}

  @Get('capabilities')
  @GuestsAllowed()
  @ApiOperation({ operationId: 'getCapabilities', summary: 'What the server lets the caller do' })
  @ApiOkResponse({
    description: 'The capabilities.',
    schema: { example: { capabilities: { 'm.change_password': { enabled: true } } } },
  })
  capabilities(@CurrentRequester() { userId, isGuest, isAppservice }: Requester): object {
    const hasPassword = !isGuest && !isAppservice;
    const isAdmin = this.environment.serverAdmins.includes(userId);
    return {
      capabilities: {
        'm.change_password': { enabled: hasPassword },
        'm.get_login_token': { enabled: hasPassword },
        'm.3pid_changes': { enabled: false },
        // Rooms belong to the homeserver. This is what clients assume if the capability is missing.
        'm.room_versions': { default: '1', available: { '1': 'stable' } },
        ...(isAdmin ? { 'm.account_moderation': { lock: true, suspend: true } } : {}),
      },
    };
  }
}
