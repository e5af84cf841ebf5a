import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import { clientAddressOf } from './client-address.js';

/** Where a request comes from. */
export interface Origin {
  /** The address of the client. Proxies are trusted only as far as `TRUST_PROXY` says. */
  readonly address: string;
  /** The `User-Agent` header. */
  readonly userAgent: string | null;
  /** The user who makes the request, if it concerns another user. */
  readonly actor?: string;
}

export function originOfRequest(request: Request): Origin {
  return { address: clientAddressOf(request), userAgent: request.headers['user-agent'] ?? null };
}

/**
 * The {@link Origin} of the current request, for the audit log and for limits by address.
 *
 * @example
 * ```ts
 * @MatrixPost('report_stolen')
 * async report(@CurrentRequester() { userId }: Requester, @ClientOrigin() origin: Origin) {
 *   await this.sessions.endAll(userId, origin);
 *   return {};
 * }
 * ```
 */
export const ClientOrigin = createParamDecorator((_: unknown, context: ExecutionContext): Origin =>
  originOfRequest(context.switchToHttp().getRequest<Request>()),
);
