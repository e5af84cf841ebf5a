import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { Request, Response } from 'express';
import passport from 'passport';
import { MatrixError } from '../matrix/matrix-error.js';
import {
  EXPIRED_TOKEN_ALLOWED,
  GUESTS_ALLOWED,
  LOCKED_USER_ALLOWED,
  PUBLIC,
  TOKEN_OPTIONAL,
} from './auth.decorators.js';
import { BearerStrategy } from './bearer.strategy.js';
import type { Verdict } from './token-verifier.port.js';

/**
 * The one door, closed by default. It hands the strategy to Passport as an object: registered by name it would be
 * shared by every application of the process.
 */
@Injectable()
export class BearerGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly strategy: BearerStrategy,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    if (this.has(PUBLIC, context)) return true;
    const http = context.switchToHttp();
    const request = http.getRequest<Request>();
    if (this.has(TOKEN_OPTIONAL, context) && !presentsToken(request)) return true;
    const verdict = await this.authenticate(request, http.getResponse<Response>());
    if (verdict.kind === 'unknown') throw MatrixError.unknownToken(verdict.deviceLives);
    const { requester } = verdict;
    if (requester.isLocked && !this.has(LOCKED_USER_ALLOWED, context)) throw MatrixError.userLocked();
    if (verdict.kind === 'expired' && !this.has(EXPIRED_TOKEN_ALLOWED, context)) {
      throw MatrixError.unknownToken(true);
    }
    if (requester.isGuest && !this.has(GUESTS_ALLOWED, context)) {
      throw new MatrixError(403, 'M_GUEST_ACCESS_FORBIDDEN', 'Guests may not do this');
    }
    request.user = requester;
    return true;
  }

  private authenticate(request: Request, response: Response): Promise<Verdict> {
    return new Promise((resolve, reject) => {
      const answered = (error: unknown, verdict: Verdict | false | undefined): void => {
        if (error) reject(error);
        // Whatever stopped Passport before the verifier was asked, there was no usable token.
        else if (!verdict) reject(MatrixError.missingToken());
        else resolve(verdict);
      };
      // Passport writes the callbacks of the request into the strategy: each request needs one of its own.
      const strategy = Object.create(this.strategy) as BearerStrategy;
      const middleware = passport.authenticate(strategy, { session: false }, answered) as (
        ...args: [Request, Response, (error: unknown) => void]
      ) => void;
      middleware(request, response, reject);
    });
  }

  private has(key: string, context: ExecutionContext): boolean {
    const targets = [context.getHandler(), context.getClass()];
    return this.reflector.getAllAndOverride<boolean | undefined>(key, targets) === true;
  }
}

function presentsToken({ headers, query }: Request): boolean {
  return headers.authorization !== undefined || query['access_token'] !== undefined;
}
