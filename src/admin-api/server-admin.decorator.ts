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
import { AdminTokenAllowed } from '../auth/auth.decorators.js';
import { Environment } from '../config/environment.js';
import { ApiMatrixError } from '../matrix/api.decorators.js';
import { MatrixError } from '../matrix/matrix-error.js';
import type { Requester } from '../auth/requester.js';
import { requireServerAdmin } from './server-admin.rules.js';

const PARAMETERS = 'auth:admin-parameters';

/** Admits administrators only, and refuses unknown or repeated query parameters. */
@Injectable()
class ServerAdminGuard implements CanActivate {
  constructor(
    private readonly environment: Environment,
    private readonly reflector: Reflector,
  ) {}

  canActivate(context: ExecutionContext): boolean {
    const { user, query } = context.switchToHttp().getRequest<Request>();
    requireServerAdmin(this.environment, user as Requester);
    const known = this.reflector.get<string[]>(PARAMETERS, context.getHandler());
    for (const [name, value] of Object.entries(query)) {
      if (name === 'access_token') continue;
      if (!known.includes(name))
        throw MatrixError.invalidParam(
          `${name} says nothing here${known.length === 0 ? '' : `: there are ${known.join(', ')}`}`,
        );
      if (typeof value !== 'string') throw MatrixError.invalidParam(`${name} may be given once`);
    }
    return true;
  }
}

/**
 * An endpoint for administrators, and for whoever holds `ADMIN_TOKEN`. It refuses unknown query parameters: if a
 * mistyped one were ignored, the request might change or show more than intended.
 * @param parameters the query parameters of the endpoint, each of which may be given once
 */
export const ForServerAdmins = (...parameters: string[]) =>
  applyDecorators(
    SetMetadata(PARAMETERS, parameters),
    AdminTokenAllowed(),
    UseGuards(ServerAdminGuard),
    ApiMatrixError(400, 'A parameter is wrong, or says nothing here.', ['M_INVALID_PARAM']),
    ApiMatrixError(403, 'The caller is no administrator.', ['M_FORBIDDEN']),
  );
