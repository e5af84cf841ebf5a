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
import { countedFor, type RequestLimitName } from '../config/rate-limits.js';
import { ApiRateLimit } from '../matrix/api.decorators.js';
import { clientAddressOf } from '../matrix/client-address.js';
import { type Attempt, RateLimiter } from './rate-limiter.js';

const LIMITS = 'admission:rate-limits';

/** Counts requests. Those of application services are not counted: they act for many users, and are trusted. */
@Injectable()
class RateLimitGuard implements CanActivate {
  constructor(
    private readonly limiter: RateLimiter,
    private readonly reflector: Reflector,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<Request>();
    const requester = (request.user ?? null) as Requester | null;
    if (requester?.isAppservice) return true;
    const names = this.reflector.get<readonly RequestLimitName[]>(LIMITS, context.getHandler());
    await this.limiter.countAll(names.map((name): Attempt => [name, whoOf(name, request, requester)]));
    return true;
  }
}

function whoOf(name: RequestLimitName, request: Request, requester: Requester | null): string {
  if (countedFor(name) === 'address') return clientAddressOf(request);
  if (requester === null) throw new Error(`The limit ${name} is for users, and the endpoint has none`);
  return requester.userId;
}

/** The endpoint has these rate limits, each for the address or the user that it counts for. */
export const RateLimited = (...names: readonly [RequestLimitName, ...RequestLimitName[]]): MethodDecorator =>
  applyDecorators(SetMetadata(LIMITS, names), onceOnly, UseGuards(RateLimitGuard), ApiRateLimit());

const LIMITED = new WeakSet<object>();

/** A second decorator would replace the limits of the first one. */
function onceOnly(_target: object, key?: string | symbol, handler?: PropertyDescriptor): void {
  const method = handler!.value as object;
  if (LIMITED.has(method))
    throw new Error(`${String(key)} is rate-limited twice: name all limits in one decorator`);
  LIMITED.add(method);
}
