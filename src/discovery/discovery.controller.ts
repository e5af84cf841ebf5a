import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { Public } from '../auth/auth.decorators.js';
import { Environment } from '../config/environment.js';

/**
 * The versions that the endpoints of this service follow. 1.20 is not among them, because it removes
 * `?access_token=`, which is accepted here. `r0.6.1` is, because the `r0` paths are served.
 */
const VERSIONS = ['r0.6.1'].concat(Array.from({ length: 19 }, (_, minor) => `v1.${minor + 1}`));

/** What a client asks before it has a session: the server's address and supported versions. */
@Controller()
@ApiTags('Server administration')
@Public()
export class DiscoveryController {
  constructor(private readonly environment: Environment) {}

  @Get('_matrix/client/versions')
  @ApiOperation({
    operationId: 'getVersions',
    summary: 'The versions of the specification that are supported',
  })
  @ApiOkResponse({ description: 'The versions.', schema: { example: { versions: ['v1.18', 'v1.19'] } } })
  versions(): object {
    return { versions: VERSIONS, unstable_features: {} };
  }

  @Get('.well-known/matrix/client')
  @ApiOperation({
    operationId: 'getWellknown',
    summary: 'Where clients of this server name find the service',
  })
  @ApiOkResponse({
    description: 'Discovery information.',
    schema: { example: { 'm.homeserver': { base_url: 'http://localhost:8008' } } },
  })
  wellKnown(): object {
    return { 'm.homeserver': { base_url: this.environment.publicBaseUrl } };
  }
}
