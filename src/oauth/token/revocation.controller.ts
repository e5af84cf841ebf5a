import { HttpCode, Post, Req } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import type { Request } from 'express';
import { Homeserver } from '../../homeserver/homeserver.port.js';
import { EMPTY_OBJECT } from '../../matrix/api.decorators.js';
import { ClientOrigin, type Origin } from '../../matrix/client-origin.decorator.js';
import { readForm } from '../../matrix/form-body.js';
import { WithoutBody } from '../../matrix/json-body.guard.js';
import { OAuthSessionsService } from '../../session/oauth-sessions.service.js';
import { ApiOAuthError, NotStored, OAuthController } from '../oauth-controller.decorator.js';

@OAuthController()
export class RevocationController {
  constructor(
    private readonly sessions: OAuthSessionsService,
    private readonly homeserver: Homeserver,
  ) {}

  @Post('revoke')
  @HttpCode(200)
  @NotStored()
  @WithoutBody()
  @ApiOperation({
    operationId: 'revokeOAuthToken',
    summary: 'End the session of a token (RFC 7009)',
    description:
      'Like `POST /logout`: the tokens, the device and all keys of the device are gone, together, when this answers 200. ' +
      'Any token of the session will do, even an expired or replaced one. A token that is not known is answered with 200, ' +
      'too, so the second call does nothing. Whoever has the token may end its session, without a client_id as well.',
  })
  @ApiConsumes('application/x-www-form-urlencoded')
  @ApiBody({
    schema: {
      type: 'object',
      required: ['token'],
      properties: {
        token: { type: 'string' },
        token_type_hint: { type: 'string' },
        client_id: { type: 'string' },
      },
      example: { token: 'mxa_YWxpY2U_…', client_id: 'q3vK…' },
    },
  })
  @ApiOkResponse({ description: 'The session has ended, or there was none.', schema: EMPTY_OBJECT })
  @ApiOAuthError(400, 'The body is no form, or has no token.', ['invalid_request'])
  @ApiOAuthError(503, 'Nothing was changed: try again.', ['temporarily_unavailable'])
  async revoke(@Req() request: Request, @ClientOrigin() origin: Origin): Promise<object> {
    const form = (await readForm(request)).requireUnrepeated();
    const token = form.need('token');
    const clientId = form.get('client_id');
    const ended = await this.sessions.endByToken(token, origin, (own) =>
      own === clientId ? 'revoked' : 'revoked_by_other',
    );
    // The homeserver has never seen a refresh token.
    if (ended !== null && !token.startsWith('mxr_')) await this.homeserver.forgetToken(token);
    return {};
  }
}
