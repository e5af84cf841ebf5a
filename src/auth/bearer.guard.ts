import { type CanActivate, type ExecutionContext, Injectable, type Type } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { Request } from 'express';
import { MatrixError } from '../matrix/matrix-error.js';
import { Tracing } from '../system/tracing.js';
import { AdminToken } from './admin-token.js';
import {
  ADMIN_TOKEN_ALLOWED,
  EXPIRED_TOKEN_ALLOWED,
  GUESTS_ALLOWED,
  LOCKED_USER_ALLOWED,
  PUBLIC,
  TOKEN_OPTIONAL,
} from './auth.decorators.js';
import { BearerStrategy } from './bearer.strategy.js';
import type { Verdict } from './token-verifier.port.js';

type Handler = ReturnType<ExecutionContext['getHandler']>;

/** Which requesters a route accepts, according to its decorators. */
interface Door {
  readonly isPublic: boolean;
  readonly isTokenOptional: boolean;
  readonly letsLockedIn: boolean;
  readonly letsExpiredIn: boolean;
  readonly letsGuestsIn: boolean;
  readonly takesAdminToken: boolean;
}

/**
 * Authenticates every request. Routes without a decorator that says otherwise need a valid token.
 *
 * @example
 * ```ts
 * // Every controller uses it already; your own gateway must ask for it:
 * @UseGuards(BearerGuard)
 * ```
 */
@Injectable()
export class BearerGuard implements CanActivate {
  /** Cached, because decorators do not change. Keyed by class too, because classes may share an inherited handler. */
  private readonly doors = new WeakMap<Type, WeakMap<Handler, Door>>();

  constructor(
    private readonly reflector: Reflector,
    private readonly strategy: BearerStrategy,
    private readonly adminToken: AdminToken,
    private readonly tracing: Tracing,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const door = this.doorOf(context.getClass(), context.getHandler());
    if (door.isPublic) return true;
    const request = context.switchToHttp().getRequest<Request>();
    if (door.isTokenOptional && !presentsToken(request)) return true;
    const administrator = door.takesAdminToken ? this.adminToken.holderOf(request) : null;
    if (administrator !== null) {
      request.user = administrator;
      return true;
    }
    const verdict = await this.tracing.span('BearerGuard', {}, () => this.authenticate(request));
    if (verdict.kind === 'unknown') throw MatrixError.unknownToken(verdict.deviceLives);
    const { requester } = verdict;
    if (requester.isLocked && !door.letsLockedIn) throw MatrixError.userLocked();
    if (verdict.kind === 'expired' && !door.letsExpiredIn) throw MatrixError.unknownToken(true);
    if (requester.isGuest && !door.letsGuestsIn) {
      throw new MatrixError(403, 'M_GUEST_ACCESS_FORBIDDEN', 'Guests may not do this');
    }
    request.user = requester;
    return true;
  }

  /**
   * Runs the strategy the way Passport's middleware does. The middleware itself would add login and session methods,
   * which Matrix does not use, to every request, and would register strategies by name for the whole process.
   */
  private authenticate(request: Request): Promise<Verdict> {
    return new Promise((resolve, reject) => {
      // A strategy reports through its own methods, so each request needs its own instance.
      const strategy = Object.create(this.strategy) as BearerStrategy;
      strategy.success = resolve;
      strategy.error = reject;
      // The strategy fails before it calls the verifier only if there is no usable token.
      strategy.fail = () => reject(MatrixError.missingToken());
      strategy.authenticate(request);
    });
  }

  private doorOf(type: Type, handler: Handler): Door {
    let doors = this.doors.get(type);
    if (doors === undefined) this.doors.set(type, (doors = new WeakMap()));
    let door = doors.get(handler);
    if (door === undefined) doors.set(handler, (door = this.readDoor([handler, type])));
    return door;
  }

  private readDoor(targets: (Handler | Type)[]): Door {
    const has = (key: string) => this.reflector.getAllAndOverride<boolean | undefined>(key, targets) === true;
    return {
      isPublic: has(PUBLIC),
      isTokenOptional: has(TOKEN_OPTIONAL),
      letsLockedIn: has(LOCKED_USER_ALLOWED),
      letsExpiredIn: has(EXPIRED_TOKEN_ALLOWED),
      letsGuestsIn: has(GUESTS_ALLOWED),
      takesAdminToken: has(ADMIN_TOKEN_ALLOWED),
    };
  }
}

function presentsToken({ headers, query }: Request): boolean {
  return headers.authorization !== undefined || query['access_token'] !== undefined;
}
