import { Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { CurrentRequester, GuestsAllowed, PresentedToken } from '../auth/auth.decorators.js';
import type { Requester } from '../auth/requester.js';
import { isServerAdmin } from '../admin-api/server-admin.rules.js';
import { Environment } from '../config/environment.js';
import { Homeserver } from '../homeserver/homeserver.port.js';
import { ApiAccessToken, ApiMatrixError } from '../matrix/api.decorators.js';
import { ClientController } from '../matrix/client-api.decorators.js';

/** What the caller may do here ("Capabilities negotiation"). */
@ClientController()
@ApiTags('Capabilities')
@ApiAccessToken()
export class CapabilitiesController {
  constructor(
    private readonly environment: Environment,
    private readonly homeserver: Homeserver,
  ) {}

  @Get('capabilities')
  @GuestsAllowed()
  @ApiOperation({ operationId: 'getCapabilities', summary: 'What the server lets the caller do' })
  @ApiOkResponse({
    description: 'The capabilities.',
    schema: { example: { capabilities: { 'm.change_password': { enabled: true } } } },
  })
  @ApiMatrixError(503, 'The homeserver does not answer.', ['M_UNKNOWN'])
  async capabilities(
    @CurrentRequester() requester: Requester,
    @PresentedToken() token: string | null,
  ): Promise<object> {
    const { isGuest, isAppservice, isOAuth } = requester;
    const theirs = await this.ofHomeserver(token!);
    // Users of OAuth 2.0 clients have a page for this.
    const hasPassword = !isGuest && !isAppservice && !isOAuth;
    return {
      capabilities: {
        // Rooms belong to the homeserver. This is what clients assume if the capability is missing.
        'm.room_versions': { default: '1', available: { '1': 'stable' } },
        ...theirs,
        'm.change_password': { enabled: hasPassword },
        'm.get_login_token': { enabled: hasPassword },
        'm.3pid_changes': { enabled: false },
        ...(isServerAdmin(this.environment, requester)
          ? { 'm.account_moderation': { lock: true, suspend: true } }
          : {}),
      },
    };
  }

  /** What the homeserver can do, which does not know that passwords and login tokens exist here. */
  private async ofHomeserver(token: string): Promise<object> {
    const path = '/_matrix/client/v3/capabilities';
    const { status, body } = await this.homeserver.forward({ method: 'GET', path, token });
    return status === 200 ? (body['capabilities'] as object) : {};
  }
}
