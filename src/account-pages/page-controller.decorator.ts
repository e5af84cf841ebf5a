import { applyDecorators, Controller, UseFilters, UseGuards } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { Public } from '../auth/auth.decorators.js';
import { OAuthOnGuard } from '../oauth/oauth-on.guard.js';
import { PageExceptionFilter } from './page-exception.filter.js';

/** A controller of pages. They are no API: docs/oauth.md describes them. */
export const PageController = (path = ''): ClassDecorator =>
  applyDecorators(
    Controller(path),
    ApiExcludeController(),
    Public(),
    UseGuards(OAuthOnGuard),
    UseFilters(PageExceptionFilter),
  );
