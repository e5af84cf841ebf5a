import { All, Req } from '@nestjs/common';
import { ApiExcludeEndpoint } from '@nestjs/swagger';
import type { Request } from 'express';
import { WithoutBody } from '../matrix/json-body.guard.js';
import { OAuthError } from '../matrix/oauth-error.js';
import { OAuthController } from './oauth-controller.decorator.js';

const ENDPOINTS = /^\/oauth2\/(?:clients|token|revoke|device)$/;

/** Refuses whatever else is below `/oauth2` in the words of OAuth 2.0. It must come after all controllers there. */
@OAuthController()
export class NoEndpointController {
  @All('*path')
  @ApiExcludeEndpoint()
  @WithoutBody()
  refuse(@Req() { path }: Request): never {
    if (ENDPOINTS.test(path))
      throw new OAuthError(405, 'invalid_request', 'This endpoint takes POST only', { Allow: 'POST' });
    throw new OAuthError(404, 'invalid_request', 'There is no such endpoint');
  }
}
