import { applyDecorators, Controller, UseFilters, UseGuards } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { Public } from '../auth/auth.decorators.js';
import { OAuthOnGuard } from '../oauth/oauth-on.guard.js';
import { PageExceptionFilter } from './page-exception.filter.js';

/** A controller of pages. Their forms are no API: they need a token that only the page has. */
export const PageController = (path = ''): ClassDecorator =>
  applyDecorators(
    Controller(path),
    ApiTags('Account pages'),
    Public(),
    UseGuards(OAuthOnGuard),
    UseFilters(PageExceptionFilter),
  );

/** Describes a page. */
export const ApiPage = (operationId: string, summary: string, description = ''): MethodDecorator =>
  applyDecorators(
    ApiOperation({ operationId, summary, description }),
    ApiOkResponse({ description: 'The page.', content: { 'text/html': { schema: { type: 'string' } } } }),
    ApiResponse({ status: 303, description: 'The browser goes on, such as to the sign-in page.' }),
  );
