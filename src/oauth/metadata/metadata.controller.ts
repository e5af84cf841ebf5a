import { Controller, Get, Header, UseGuards } from '@nestjs/common';
import { ApiExcludeEndpoint, ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { ApiMatrixError } from '../../matrix/api.decorators.js';
import { Public } from '../../auth/auth.decorators.js';
import { CLIENT_V1 } from '../../matrix/client-api.decorators.js';
import { OAuthOnGuard } from '../oauth-on.guard.js';
import { ProviderMetadata } from './provider-metadata.service.js';

const EXAMPLE = {
  issuer: 'https://matrix.example.org/',
  authorization_endpoint: 'https://matrix.example.org/oauth2/auth',
  token_endpoint: 'https://matrix.example.org/oauth2/token',
};

@Controller()
@ApiTags('OAuth 2.0')
@Public()
@UseGuards(OAuthOnGuard)
export class MetadataController {
  constructor(private readonly metadata: ProviderMetadata) {}

  @Get(`${CLIENT_V1}/auth_metadata`)
  @Header('Cache-Control', 'public, max-age=3600')
  @ApiOperation({
    operationId: 'getAuthMetadata',
    summary: 'Where and how clients sign in by OAuth 2.0',
    description: 'No token is read. `prompt_values_supported` is there while people may register.',
  })
  @ApiOkResponse({ description: 'The metadata of the authorization server.', schema: { example: EXAMPLE } })
  @ApiMatrixError(404, 'OAuth 2.0 is off.', ['M_UNRECOGNIZED'])
  async get(): Promise<object> {
    return this.metadata.get();
  }

  /** The name of the same endpoint in MSC2965, which clients still try. */
  @Get('_matrix/client/unstable/org.matrix.msc2965/auth_metadata')
  @Header('Cache-Control', 'public, max-age=3600')
  @ApiExcludeEndpoint()
  async getUnstable(): Promise<object> {
    return this.metadata.get();
  }
}
