import {
  type CallHandler,
  type ExecutionContext,
  Injectable,
  type NestInterceptor,
  SetMetadata,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { Request, Response } from 'express';
import type { Observable } from 'rxjs';
import { readJsonBody } from './json-body.js';
import { MatrixError } from './matrix-error.js';

const WITHOUT_BODY = 'matrix:without-body';

/** The endpoint takes no body: whatever is sent is left unread. */
export const WithoutBody = () => SetMetadata(WITHOUT_BODY, true);

const OPTIONAL_BODY = 'matrix:optional-body';

/** No body counts as an empty object. */
export const OptionalBody = () => SetMetadata(OPTIONAL_BODY, true);

const METHODS_WITH_BODY = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

/**
 * Gives `@Body()` its value. Unlike Express's parser it runs after the guards, so that a stranger cannot make the
 * server parse, and no token is ever looked for in a body.
 */
@Injectable()
export class JsonBodyInterceptor implements NestInterceptor {
  constructor(private readonly reflector: Reflector) {}

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const request = context.switchToHttp().getRequest<Request>();
    const has = (key: string) => this.reflector.get<boolean | undefined>(key, context.getHandler()) === true;
    if (!has(WITHOUT_BODY) && METHODS_WITH_BODY.has(request.method)) {
      const body =
        (await readJsonBody(request, context.switchToHttp().getResponse<Response>())) ??
        (has(OPTIONAL_BODY) ? {} : null);
      if (body === null) throw MatrixError.notJson('A JSON body is needed');
      request.body = body;
    }
    return next.handle();
  }
}
