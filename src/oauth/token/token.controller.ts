import { HttpCode, Post, Req } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import type { Request } from 'express';
import { ClientOrigin, type Origin } from '../../matrix/client-origin.decorator.js';
import { readForm } from '../../matrix/form-body.js';
import { WithoutBody } from '../../matrix/json-body.guard.js';
import { ApiOAuthError, NotStored, OAuthController } from '../oauth-controller.decorator.js';
import { CODE_GRANT, DEVICE_GRANT, REFRESH_GRANT } from '../clients/client-metadata.rules.js';
import { requirePublicClient } from '../public-client.rules.js';
import { OAuthMetrics } from '../oauth-metrics.js';
import { type TokenAnswer, TokenService } from './token.service.js';

@OAuthController()
export class TokenController {
  constructor(
    private readonly tokens: TokenService,
    private readonly metrics: OAuthMetrics,
  ) {}

  @Post('token')
  @HttpCode(200)
  @NotStored()
  // A form, which is read here.
  @WithoutBody()
  @ApiOperation({
    operationId: 'getOAuthTokens',
    summary: 'Exchange a grant for tokens (RFC 6749, section 3.2)',
    description:
      'For the grants `authorization_code` (with `code`, `redirect_uri` and `code_verifier`), `refresh_token` and ' +
      '`urn:ietf:params:oauth:grant-type:device_code` (with `device_code`). Session, device and tokens begin in one ' +
      'commit. A code is good once; presented again later than by mistake, it ends the session that it began. The old ' +
      'refresh token stays good until a token of the new pair is first used; presented after that, it ends the session.',
  })
  @ApiConsumes('application/x-www-form-urlencoded')
  @ApiBody({
    schema: {
      type: 'object',
      required: ['grant_type', 'client_id'],
      properties: {
        grant_type: { type: 'string', enum: [CODE_GRANT, REFRESH_GRANT, DEVICE_GRANT] },
        client_id: { type: 'string' },
        code: { type: 'string', description: 'For authorization_code.' },
        redirect_uri: { type: 'string', description: 'For authorization_code: that of the request.' },
        code_verifier: { type: 'string', description: 'For authorization_code (RFC 7636).' },
        refresh_token: { type: 'string', description: 'For refresh_token.' },
        scope: { type: 'string', description: 'For refresh_token: not more than before.' },
        device_code: { type: 'string', description: 'For the device code grant.' },
      },
      example: { grant_type: 'refresh_token', client_id: 'q3vK…', refresh_token: 'mxr_YWxpY2U_…' },
    },
  })
  @ApiOkResponse({
    description: 'The tokens.',
    schema: {
      example: {
        access_token: 'mxa_YWxpY2U_…',
        token_type: 'Bearer',
        expires_in: 900,
        refresh_token: 'mxr_YWxpY2U_…',
        scope: 'urn:matrix:client:api:* urn:matrix:client:device:AAABBBCCCDDD',
      },
    },
  })
  @ApiOAuthError(400, 'The grant is not accepted, or not yet.', [
    'invalid_request',
    'invalid_grant',
    'invalid_scope',
    'unauthorized_client',
    'unsupported_grant_type',
    'authorization_pending',
    'slow_down',
    'access_denied',
    'expired_token',
  ])
  @ApiOAuthError(401, 'There is no such client, or it sends a secret.', ['invalid_client'])
  @ApiOAuthError(503, 'Too many requests, or the database does not answer: try again.', [
    'temporarily_unavailable',
  ])
  async token(@Req() request: Request, @ClientOrigin() origin: Origin): Promise<TokenAnswer> {
    const form = (await readForm(request)).requireUnrepeated();
    requirePublicClient(request, form);
    const grantType = form.need('grant_type');
    return this.metrics.count(grantType, () => this.tokens.answer(grantType, form, origin));
  }
}
