import {
  applyDecorators,
  type CanActivate,
  Controller,
  type Type,
  UseFilters,
  UseGuards,
} from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import { Public } from '../auth/auth.decorators.js';
import { OAuthOnGuard } from '../oauth/oauth-on.guard.js';
import { PagesHostGuard } from './pages-host.guard.js';
import { PageExceptionFilter } from './page-exception.filter.js';

/** A controller of pages. Their forms are no API: they need a token that only the page has. */
export const PageController = (path: string): ClassDecorator =>
  applyDecorators(pages(path, OAuthOnGuard, PagesHostGuard));

/** A controller of pages below the client-server API, whose host they share. */
export const FallbackController = (): ClassDecorator => applyDecorators(pages('', OAuthOnGuard));

const pages = (path: string, ...guards: Type<CanActivate>[]): ClassDecorator =>
  applyDecorators(
    Controller(path),
    ApiTags('Account pages'),
    Public(),
    UseGuards(...guards),
    UseFilters(PageExceptionFilter),
  );

/** Describes a page. */
export const ApiPage = (operationId: string, summary: string, description = ''): MethodDecorator =>
  applyDecorators(
    ApiOperation({ operationId, summary, description }),
    ApiOkResponse({ description: 'The page.', content: { 'text/html': { schema: { type: 'string' } } } }),
    ApiResponse({ status: 303, description: 'The browser goes on, such as to the sign-in page.' }),
  );
