import {
  applyDecorators,
  type CanActivate,
  type ExecutionContext,
  Injectable,
  SetMetadata,
  UseGuards,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { Request } from 'express';
import type { Requester } from '../auth/requester.js';
import type { RateLimitName } from '../config/environment.js';
import { ApiRateLimit } from '../matrix/api.decorators.js';
import { RateLimiter } from './rate-limiter.js';

const LIMIT = 'rate-limits:limit';

/** Counts requests of users; application services act for many, and are trusted. */
@Injectable()
class RateLimitGuard implements CanActivate {
  constructor(
    private readonly limiter: RateLimiter,
    private readonly reflector: Reflector,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const { userId, isAppservice } = context.switchToHttp().getRequest<Request>().user as Requester;
    const limit = this.reflector.get<RateLimitName>(LIMIT, context.getHandler());
    if (!isAppservice) await this.limiter.count(limit, userId);
    return true;
  }
}

/** The endpoint is limited for each user. */
export const RateLimited = (limit: RateLimitName) =>
  applyDecorators(SetMetadata(LIMIT, limit), UseGuards(RateLimitGuard), ApiRateLimit());
