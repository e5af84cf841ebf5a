import { HttpCode, Post, Req } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import type { Request } from 'express';
import { RateLimiter } from '../../admission/rate-limiter.js';
import { ClientOrigin, type Origin } from '../../matrix/client-origin.decorator.js';
import { readForm } from '../../matrix/form-body.js';
import { WithoutBody } from '../../matrix/json-body.guard.js';
import { OAuthError } from '../../matrix/oauth-error.js';
import { DEVICE_GRANT } from '../clients/client-metadata.rules.js';
import { ClientsService } from '../clients/clients.service.js';
import { ApiOAuthError, NotStored, OAuthController } from '../oauth-controller.decorator.js';
import { requirePublicClient } from '../public-client.rules.js';
import { OAuthUrls } from '../oauth-urls.js';
import { readScope, SCOPE_RULE } from '../scope.rules.js';
import { DEVICE_CODE_LIFE_MS, DeviceGrantsService, POLL_INTERVAL_MS } from './device-grants.service.js';
import { shownUserCode } from './user-code.rules.js';

@OAuthController()
export class DeviceAuthorizationController {
  constructor(
    private readonly clients: ClientsService,
    private readonly grants: DeviceGrantsService,
    private readonly urls: OAuthUrls,
    private readonly limiter: RateLimiter,
  ) {}

  @Post('device')
  @HttpCode(200)
  @NotStored()
  @WithoutBody()
  @ApiOperation({
    operationId: 'authorizeDevice',
    summary: 'Ask for a device code (RFC 8628)',
    description: 'For a device that shows a code, or a QR code, which its user takes to a browser elsewhere.',
  })
  @ApiConsumes('application/x-www-form-urlencoded')
  @ApiBody({
    schema: {
      type: 'object',
      required: ['client_id', 'scope'],
      properties: { client_id: { type: 'string' }, scope: { type: 'string' } },
      example: { client_id: 'q3vK…', scope: 'urn:matrix:client:api:* urn:matrix:client:device:AAABBBCCCDDD' },
    },
  })
  @ApiOkResponse({
    description: 'The codes. The device asks the token endpoint until the user has decided.',
    schema: {
      example: {
        device_code: 'GmRhmhcxhwAzkoEqiMEg_…',
        user_code: 'WDJB-MJHT',
        verification_uri: 'https://matrix.example.org/account/link',
        verification_uri_complete: 'https://matrix.example.org/account/link?user_code=WDJB-MJHT',
        expires_in: 1_200,
        interval: 5,
      },
    },
  })
  @ApiOAuthError(400, 'The request is not valid.', [
    'invalid_request',
    'invalid_scope',
    'unauthorized_client',
  ])
  @ApiOAuthError(401, 'There is no such client.', ['invalid_client'])
  @ApiOAuthError(503, 'Too many requests.', ['temporarily_unavailable'])
  async authorize(@Req() request: Request, @ClientOrigin() origin: Origin): Promise<object> {
    await this.limiter.count('oauth_device', origin.address);
    const form = (await readForm(request)).requireUnrepeated();
    requirePublicClient(request, form);
    const client = await this.clients.need(form.need('client_id'));
    if (!client.metadata.grant_types.includes(DEVICE_GRANT))
      throw new OAuthError(
        400,
        'unauthorized_client',
        'The client has not registered for the device code grant',
      );
    const scope = readScope(form.need('scope'));
    if (scope === null) throw new OAuthError(400, 'invalid_scope', SCOPE_RULE);
    await this.clients.touch(client);
    const { deviceCode, userCode } = await this.grants.begin(client, scope, origin);
    const shown = shownUserCode(userCode);
    const verification_uri = this.urls.page('/account/link');
    return {
      device_code: deviceCode,
      user_code: shown,
      verification_uri,
      verification_uri_complete: `${verification_uri}?user_code=${shown}`,
      expires_in: DEVICE_CODE_LIFE_MS / 1_000,
      interval: POLL_INTERVAL_MS / 1_000,
    };
  }
}
