import { type CanActivate, type ExecutionContext, Injectable, SetMetadata } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { Request } from 'express';
import { Environment } from '../config/environment.js';
import { readJsonBody } from './json-body.js';
import { MatrixError } from './matrix-error.js';

const WITHOUT_BODY = 'matrix:without-body';

/**
 * The endpoint takes no body: anything that is sent stays unread.
 *
 * @example
 * ```ts
 * @MatrixPost('notes/forget')
 * @WithoutBody()
 * async forget(@CurrentRequester() { userId }: Requester) {}
 * ```
 */
export const WithoutBody = () => SetMetadata(WITHOUT_BODY, true);

const OPTIONAL_BODY = 'matrix:optional-body';

/**
 * No body counts as an empty object.
 *
 * @example
 * ```ts
 * @MatrixPost('notes/forget')
 * @OptionalBody()
 * async forget(@Body() { before }: ForgetDto) {}
 * ```
 */
export const OptionalBody = () => SetMetadata(OPTIONAL_BODY, true);

const CHECKED_ELSEWHERE = 'matrix:checked-elsewhere';

/**
 * A key of the body whose text the endpoint checks itself, including for NUL and lone surrogates, because the
 * specification requires a specific error there.
 */
export const ChecksItself = (key: string) => SetMetadata(CHECKED_ELSEWHERE, key);

const METHODS_WITH_BODY = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

/**
 * Gives `@Body()` its value. It runs after the bearer guard; Express's parser would run before it. So a client
 * without a token cannot make the server parse, and no token is read from a body. It is a guard and not an
 * interceptor, because Nest wraps a request that passes an interceptor in half a dozen observables.
 */
@Injectable()
export class JsonBodyGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly environment: Environment,
  ) {}

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const request = context.switchToHttp().getRequest<Request>();
    if (!METHODS_WITH_BODY.has(request.method) || this.has(WITHOUT_BODY, context)) return true;
    return this.read(request, context);
  }

  private async read(request: Request, context: ExecutionContext): Promise<boolean> {
    const own = this.reflector.get<string | undefined>(CHECKED_ELSEWHERE, context.getHandler());
    const body = await readJsonBody(request, this.environment.limits.bodyBytes, own);
    if (body === null && !this.has(OPTIONAL_BODY, context))
      throw MatrixError.notJson('A JSON body is needed');
    request.body = body ?? {};
    return true;
  }

  private has(key: string, context: ExecutionContext): boolean {
    return this.reflector.get<boolean | undefined>(key, context.getHandler()) === true;
  }
}
