import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Public } from '../../auth/auth.decorators.js';
import { Environment } from '../../config/environment.js';

/** What a homeserver asks about the server that issues the tokens. Keep it off the public proxy. */
@Controller('.well-known')
@ApiTags('Homeserver')
@Public()
export class ProviderMetadataController {
  constructor(private readonly environment: Environment) {}

  @Get('openid-configuration')
  @ApiOperation({
    operationId: 'getProviderMetadata',
    summary: 'Who issues the tokens',
    description: 'For the homeserver alone: clients cannot sign in by OAuth 2.0 here.',
  })
  @ApiOkResponse({
    schema: {
      example: {
        issuer: 'https://matrix.example.org/',
        account_management_uri: 'https://matrix.example.org/',
      },
    },
  })
  metadata(): object {
    const issuer = `${this.environment.publicBaseUrl.replace(/\/$/, '')}/`;
    return { issuer, account_management_uri: issuer };
  }
}
