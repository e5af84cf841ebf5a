import { HttpCode, Post, Req } from '@nestjs/common';
import { ApiBody, ApiCreatedResponse, ApiOperation } from '@nestjs/swagger';
import type { Request } from 'express';
import { ClientAddress } from '../../matrix/client-address.decorator.js';
import { WithoutBody } from '../../matrix/json-body.guard.js';
import { readJsonBody } from '../../matrix/json-body.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { OAuthError } from '../../matrix/oauth-error.js';
import { ApiOAuthError, NotStored, OAuthController } from '../oauth-controller.decorator.js';
import { ClientsService, type Registered } from './clients.service.js';

const MOST_BYTES = 16 * 1_024;

const EXAMPLE = {
  client_name: 'Element',
  client_uri: 'https://app.example.org/',
  redirect_uris: ['https://app.example.org/callback'],
  response_types: ['code'],
  grant_types: ['authorization_code', 'refresh_token'],
  token_endpoint_auth_method: 'none',
  application_type: 'web',
};

@OAuthController()
export class ClientsController {
  constructor(private readonly clients: ClientsService) {}

  @Post('clients')
  @HttpCode(201)
  @NotStored()
  // Read here, so that a body that is no JSON gets an error of RFC 7591.
  @WithoutBody()
  @ApiOperation({
    operationId: 'registerOAuthClient',
    summary: 'Register a client (RFC 7591)',
    description:
      'Anybody may register a client. Equal metadata gives the same client, so a client may register before each login. ' +
      'Unknown values are left out of the answer. A client that nobody uses for 30 days is forgotten.',
  })
  @ApiBody({ schema: { type: 'object', example: EXAMPLE } })
  @ApiCreatedResponse({
    description: 'The client, with the values that were kept.',
    schema: { example: { client_id: 'q3vK…', client_id_issued_at: 1_795_000_000, ...EXAMPLE } },
  })
  @ApiOAuthError(400, 'The metadata is not accepted.', ['invalid_client_metadata', 'invalid_redirect_uri'])
  @ApiOAuthError(503, 'Too many registrations.', ['temporarily_unavailable'])
  async register(@Req() request: Request, @ClientAddress() address: string): Promise<Registered> {
    return this.clients.register({ ...(await read(request)) }, address);
  }
}

async function read(request: Request): Promise<object> {
  try {
    const body = await readJsonBody(request, MOST_BYTES);
    if (body !== null) return body;
  } catch (error) {
    if (!(error instanceof MatrixError) || error.status === 413) throw error;
  }
  throw new OAuthError(400, 'invalid_client_metadata', 'The body must be a JSON object, without NUL in it');
}
