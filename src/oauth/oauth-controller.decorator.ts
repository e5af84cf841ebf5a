import { applyDecorators, Controller, Header, UseFilters, UseGuards } from '@nestjs/common';
import { ApiResponse, ApiTags } from '@nestjs/swagger';
import { Public } from '../auth/auth.decorators.js';
import type { OAuthErrorCode } from '../matrix/oauth-error.js';
import { OAuthExceptionFilter } from './oauth-exception.filter.js';
import { OAuthOnGuard } from './oauth-on.guard.js';

/** A controller below `/oauth2`, whose errors are those of OAuth 2.0. */
export const OAuthController = (): ClassDecorator =>
  applyDecorators(
    Controller('oauth2'),
    ApiTags('OAuth 2.0'),
    Public(),
    UseGuards(OAuthOnGuard),
    UseFilters(OAuthExceptionFilter),
  );

/** Answers of the handler are not kept by anybody (RFC 6749, section 5.1). */
export const NotStored = (): MethodDecorator =>
  applyDecorators(Header('Cache-Control', 'no-store'), Header('Pragma', 'no-cache'));

/** Documents an error of OAuth 2.0. */
export const ApiOAuthError = (
  status: number,
  description: string,
  codes: readonly OAuthErrorCode[],
): MethodDecorator =>
  ApiResponse({
    status,
    description,
    schema: {
      type: 'object',
      required: ['error'],
      properties: {
        error: { type: 'string', enum: [...codes] },
        error_description: { type: 'string' },
      },
    },
  });
