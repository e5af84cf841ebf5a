import { Controller, Get, Header } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Public } from '../../auth/auth.decorators.js';
import { ProviderMetadata } from './provider-metadata.service.js';

const EXAMPLE = {
  issuer: 'https://matrix.example.org/',
  account_management_uri: 'https://matrix.example.org/account',
};

/** Where homeservers and tools of OAuth 2.0 look for the metadata. */
@Controller('.well-known')
@ApiTags('OAuth 2.0')
@Public()
export class WellKnownController {
  constructor(private readonly metadata: ProviderMetadata) {}

  @Get('openid-configuration')
  @Header('Cache-Control', 'public, max-age=3600')
  @ApiOperation({
    operationId: 'getProviderMetadata',
    summary: 'Who issues the tokens',
    description: 'The same as auth_metadata. While OAuth 2.0 is off, only what a homeserver needs.',
  })
  @ApiOkResponse({ description: 'The metadata.', schema: { example: EXAMPLE } })
  getOpenIdConfiguration(): Promise<object> {
    return this.metadata.getWellKnown();
  }

  @Get('oauth-authorization-server')
  @Header('Cache-Control', 'public, max-age=3600')
  @ApiOperation({
    operationId: 'getServerMetadata',
    summary: 'The same, where tools of OAuth 2.0 look for it (RFC 8414)',
  })
  @ApiOkResponse({ description: 'The metadata.', schema: { example: EXAMPLE } })
  getServerMetadata(): Promise<object> {
    return this.metadata.getWellKnown();
  }
}
