import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { Request } from 'express';
import { Environment } from '../config/environment.js';
import { PageElsewhere, PageRefusal } from './page.js';

/**
 * Shows no page at the host of the API, if the pages have one of their own: media that is served there could read what
 * is typed.
 */
@Injectable()
export class PagesHostGuard implements CanActivate {
  constructor(private readonly environment: Environment) {}

  canActivate(context: ExecutionContext): boolean {
    const { method, headers, originalUrl } = context.switchToHttp().getRequest<Request>();
    const { apiHost, pagesUrl } = this.environment.oauth;
    if (apiHost === null || headers.host !== apiHost) return true;
    if (method !== 'GET') throw new PageRefusal(404, 'notFound');
    throw new PageElsewhere(pagesUrl + originalUrl);
  }
}
