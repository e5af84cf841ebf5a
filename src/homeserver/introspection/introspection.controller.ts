import { Controller, Header, HttpCode, Inject, Post, Req } from '@nestjs/common';
import {
  ApiBody,
  ApiConsumes,
  ApiHeader,
  ApiOkResponse,
  ApiOperation,
  ApiResponse,
  ApiTags,
} from '@nestjs/swagger';
import type { Request } from 'express';
import { Public } from '../../auth/auth.decorators.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { WithoutBody } from '../../matrix/json-body.guard.js';
import { HomeserverSecret } from '../homeserver-secret.js';
import { MalformedParameters, readForm } from '../../matrix/form-body.js';
import type { Introspection } from './introspection.rules.js';
import { IntrospectionService } from './introspection.service.js';
import { OAuthError } from '../../matrix/oauth-error.js';

/** Far more than a token and its hint have. */
const MOST_BYTES = 16 * 1_024;

/** Where a homeserver asks whose a token is. Keep it off the public proxy. */
@Controller('oauth2')
@ApiTags('Homeserver')
@Public()
export class IntrospectionController {
  constructor(
    /** `null` only where the module was imported before the configuration was known. */
    @Inject(HomeserverSecret) private readonly secret: HomeserverSecret | null,
    private readonly introspection: IntrospectionService,
  ) {}

  @Post('introspect')
  @HttpCode(200)
  @Header('Cache-Control', 'no-store')
  // A form, which is read here once the secret was right.
  @WithoutBody()
  @ApiOperation({
    operationId: 'introspectToken',
    summary: 'Whose an access token is (RFC 7662)',
    description: 'For a homeserver that trusts the tokens of this service. Needs HOMESERVER_SECRET.',
  })
  @ApiHeader({ name: 'Authorization', description: 'Bearer and HOMESERVER_SECRET.', required: true })
  @ApiConsumes('application/x-www-form-urlencoded')
  @ApiBody({
    schema: {
      type: 'object',
      required: ['token'],
      properties: { token: { type: 'string' }, token_type_hint: { type: 'string' } },
      example: { token: 'mxa_…' },
    },
  })
  @ApiOkResponse({
    description: 'Whose it is, or `{"active": false}` for anything but the token of a session that lives.',
    schema: { example: { active: false } },
  })
  @ApiResponse({ status: 400, description: 'The body is no form, or has no token.' })
  @ApiResponse({ status: 401, description: 'The secret is missing or wrong.' })
  @ApiResponse({ status: 503, description: 'The account is locked, or the database does not answer.' })
  async introspect(@Req() request: Request): Promise<Introspection> {
    if (this.secret === null) throw new MatrixError(404, 'M_UNRECOGNIZED', 'Unknown endpoint');
    const [, presented] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? [];
    if (presented === undefined || !this.secret.is(presented))
      throw new OAuthError(401, 'invalid_token', 'The secret of the homeserver is needed', {
        'WWW-Authenticate': 'Bearer',
      });
    try {
      const form = (await readForm(request, MOST_BYTES)).requireUnrepeated();
      return await this.introspection.introspect(form.need('token'));
    } catch (error) {
      // Clients may have sent this to the homeserver. It is no token of anybody.
      if (error instanceof MalformedParameters) return { active: false };
      throw error;
    }
  }
}
