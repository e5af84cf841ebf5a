import { createParamDecorator, type ExecutionContext, SetMetadata } from '@nestjs/common';
import type { Request } from 'express';
import type { Requester } from './requester.js';

export const PUBLIC = 'auth:public';
export const EXPIRED_TOKEN_ALLOWED = 'auth:expired-token-allowed';

/** Opens a route to callers without an access token. Every route is closed by default. */
export const Public = () => SetMetadata(PUBLIC, true);

/** Lets an expired token in as well, as long as its device lives: for routes that only take away. */
export const ExpiredTokenAllowed = () => SetMetadata(EXPIRED_TOKEN_ALLOWED, true);

/** The {@link Requester} of the current request. Not for `@Public()` routes, which have none. */
export const CurrentRequester = createParamDecorator((_: unknown, context: ExecutionContext): Requester => {
  const { user } = context.switchToHttp().getRequest<Request>();
  if (user === undefined)
    throw new Error('@CurrentRequester() stands on a route that the guard does not protect');
  return user as Requester;
});
