import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  CurrentDevice,
  CurrentRequester,
  ExpiredTokenAllowed,
  GuestsAllowed,
  LockedUserAllowed,
  PresentedToken,
} from '../auth/auth.decorators.js';
import type { Requester, RequesterDevice } from '../auth/requester.js';
import { ApiAccessToken, ApiMatrixError, EMPTY_OBJECT } from '../matrix/api.decorators.js';
import { ClientController, MatrixPost } from '../matrix/client-api.decorators.js';
import { ClientOrigin, type Origin } from '../matrix/client-origin.decorator.js';
import { WithoutBody } from '../matrix/json-body.guard.js';
import { Homeserver } from '../homeserver/homeserver.port.js';
import { SessionService } from './session.service.js';

/**
 * Ends sessions. The response comes after the commit. Expired tokens, locked users and guests may log out too,
 * because these endpoints only take access away.
 */
@ClientController()
@ApiTags('Session management')
@ApiAccessToken()
@ExpiredTokenAllowed()
@LockedUserAllowed()
@GuestsAllowed()
export class SessionController {
  constructor(
    private readonly sessions: SessionService,
    private readonly homeserver: Homeserver,
  ) {}

  @MatrixPost('logout')
  @WithoutBody()
  @ApiOperation({
    operationId: 'logout',
    summary: 'Invalidates a user access token',
    description:
      'Ends the session of the access token: the token, its refresh token, its device and all keys of the device ' +
      'are gone, together, when this answers 200. The body is not read. An expired token may still log out. ' +
      'The second call with the same token is answered with 401 `M_UNKNOWN_TOKEN`.',
  })
  @ApiOkResponse({
    description: 'The access token used in the request was successfully invalidated.',
    schema: EMPTY_OBJECT,
  })
  @ApiMatrixError(500, 'Nothing was changed and the token still works: try again.', ['M_UNKNOWN'])
  async logout(
    @CurrentRequester() requester: Requester,
    @CurrentDevice() device: RequesterDevice,
    @ClientOrigin() origin: Origin,
    @PresentedToken() token: string | null,
  ): Promise<object> {
    await this.sessions.end(requester, device, origin);
    await this.forget(requester, token);
    return {};
  }

  @MatrixPost('logout/all')
  @WithoutBody()
  @ApiOperation({
    operationId: 'logout_all',
    summary: 'Invalidates all access tokens for a user',
    description:
      'Ends every session of the user, the calling one included: all access and refresh tokens, all devices and all ' +
      'their keys are gone, together, when this answers 200. The body is not read. There is no user-interactive ' +
      'authentication: who stole the token and calls this loses it too. An expired token may still log out.',
  })
  @ApiOkResponse({
    description: "The user's access tokens were successfully invalidated.",
    schema: EMPTY_OBJECT,
  })
  @ApiMatrixError(500, 'Nothing was changed and the token still works: try again.', ['M_UNKNOWN'])
  async logoutAll(
    @CurrentRequester() requester: Requester,
    @ClientOrigin() origin: Origin,
    @PresentedToken() token: string | null,
  ): Promise<object> {
    await this.sessions.endAll(requester, origin);
    await this.forget(requester, token);
    return {};
  }

  /** The token of an application service lives on. */
  private async forget({ tokenDigest }: Requester, token: string | null): Promise<void> {
    if (tokenDigest !== null && token !== null) await this.homeserver.forgetToken(token);
  }
}
