import { All } from '@nestjs/common';
import { ApiExcludeEndpoint } from '@nestjs/swagger';
import { WithoutBody } from '../matrix/json-body.guard.js';
import { OAuthError } from '../matrix/oauth-error.js';
import { OAuthController } from './oauth-controller.decorator.js';

/** Refuses other methods than POST in the words of OAuth 2.0. It must come after the controllers of the endpoints. */
@OAuthController()
export class OtherMethodsController {
  @All(['clients', 'token', 'revoke', 'device'])
  @ApiExcludeEndpoint()
  @WithoutBody()
  refuse(): never {
    throw new OAuthError(405, 'invalid_request', 'This endpoint takes POST only', { Allow: 'POST' });
  }
}
