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
import { clientAddressOf } from '../matrix/client-address.js';
import { RateLimiter } from './rate-limiter.js';

const LIMIT = 'rate-limits:limit';

/** What an endpoint is limited by. */
interface EndpointLimit {
  readonly name: RateLimitName;
  readonly by: 'user' | 'address';
}

/** Counts requests. Application services act for many users, and are trusted. */
@Injectable()
class RateLimitGuard implements CanActivate {
  constructor(
    private readonly limiter: RateLimiter,
    private readonly reflector: Reflector,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<Request>();
    const requester = (request.user ?? null) as Requester | null;
    const { name, by } = this.reflector.get<EndpointLimit>(LIMIT, context.getHandler());
    if (requester?.isAppservice) return true;
    const who = by === 'address' ? clientAddressOf(request) : requester?.userId;
    if (who === undefined) throw new Error(`The limit ${name} by user is on an endpoint without one`);
    await this.limiter.count(name, who);
    return true;
  }
}

/** The endpoint is limited for each user, or for each address of clients. */
export const RateLimited = (name: RateLimitName, by: EndpointLimit['by'] = 'user') =>
  applyDecorators(
    SetMetadata(LIMIT, { name, by } satisfies EndpointLimit),
    UseGuards(RateLimitGuard),
    ApiRateLimit(),
  );
