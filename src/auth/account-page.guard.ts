import {
  applyDecorators,
  type CanActivate,
  type ExecutionContext,
  Injectable,
  UseGuards,
} from '@nestjs/common';
import type { Request } from 'express';
import { Environment } from '../config/environment.js';
import { accountPageOf } from '../config/oauth.js';
import { MatrixError } from '../matrix/matrix-error.js';
import type { Requester } from './requester.js';

/** Refuses OAuth 2.0 clients, which never see a password and so cannot prove who their user is. */
@Injectable()
class AccountPageGuard implements CanActivate {
  constructor(private readonly environment: Environment) {}

  canActivate(context: ExecutionContext): boolean {
    const requester = context.switchToHttp().getRequest<Request>().user as Requester | undefined;
    const page = accountPageOf(this.environment.oauth);
    if (!requester?.isOAuth || page === null) return true;
    throw MatrixError.forbidden(`This is done on the account page: ${page}`);
  }
}

/**
 * Users of OAuth 2.0 clients do this on the account page: their clients get 403 `M_FORBIDDEN`, and should send them
 * there ("Account management", OAuth 2.0 API).
 */
export const OnAccountPage = (): MethodDecorator => applyDecorators(UseGuards(AccountPageGuard));
