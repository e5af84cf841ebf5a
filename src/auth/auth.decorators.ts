import { createParamDecorator, type ExecutionContext, SetMetadata } from '@nestjs/common';
import type { Request } from 'express';
import { MatrixError } from '../matrix/matrix-error.js';
import type { Requester, RequesterDevice } from './requester.js';

export const PUBLIC = 'auth:public';
export const TOKEN_OPTIONAL = 'auth:token-optional';
export const EXPIRED_TOKEN_ALLOWED = 'auth:expired-token-allowed';
export const LOCKED_USER_ALLOWED = 'auth:locked-user-allowed';
export const GUESTS_ALLOWED = 'auth:guests-allowed';

/**
 * Opens a route to callers without an access token. Every route is closed by default.
 *
 * @example
 * ```ts
 * @Public()
 * @Get('status')
 * status() {}
 * ```
 */
export const Public = () => SetMetadata(PUBLIC, true);

/**
 * A token is verified when there is one, and may be missing. `@CurrentRequester()` is then `null`.
 *
 * @example
 * ```ts
 * @TokenOptional()
 * @Get('status')
 * status(@CurrentRequester() requester: Requester | null) {}
 * ```
 */
export const TokenOptional = () => SetMetadata(TOKEN_OPTIONAL, true);

/**
 * Lets an expired token in as well, as long as its device lives: for routes that only take away.
 *
 * @example
 * ```ts
 * @ExpiredTokenAllowed()
 * @Delete('notes')
 * forget(@CurrentRequester() { userId }: Requester) {}
 * ```
 */
export const ExpiredTokenAllowed = () => SetMetadata(EXPIRED_TOKEN_ALLOWED, true);

/**
 * Lets in users whom an administrator has locked ("Account locking").
 *
 * @example
 * ```ts
 * @LockedUserAllowed()
 * @Delete('notes')
 * forget(@CurrentRequester() { userId }: Requester) {}
 * ```
 */
export const LockedUserAllowed = () => SetMetadata(LOCKED_USER_ALLOWED, true);

/**
 * Lets in guests, who stay outside by default ("Guest Access").
 *
 * @example
 * ```ts
 * @GuestsAllowed()
 * @Get('notes')
 * list(@CurrentRequester() { userId }: Requester) {}
 * ```
 */
export const GuestsAllowed = () => SetMetadata(GUESTS_ALLOWED, true);

/**
 * The {@link Requester} of the current request; `null` on a `@Public()` or `@TokenOptional()` route without one.
 *
 * @example
 * ```ts
 * @Get('notes')
 * list(@CurrentRequester() { userId }: Requester) {}
 * ```
 */
export const CurrentRequester = createParamDecorator(requesterOf);

/**
 * The device of the current request.
 * @throws {MatrixError} `M_MISSING_PARAM` for an application service that names no device
 *
 * @example
 * ```ts
 * @Get('notes')
 * list(@CurrentDevice() { userId, deviceId }: RequesterDevice) {}
 * ```
 */
export const CurrentDevice = createParamDecorator(
  (data: unknown, context: ExecutionContext): RequesterDevice => {
    const device = requesterOf(data, context)?.device;
    if (!device) throw MatrixError.missingParam('device_id');
    return device;
  },
);

/**
 * The token that a `@Public()` route was sent, unverified; `null` when there is none, or more than one. For routes
 * where only an application service shows one.
 *
 * @example
 * ```ts
 * @Public()
 * @Post('bridge')
 * bridge(@PresentedToken() asToken: string | null) {}
 * ```
 */
export const PresentedToken = createParamDecorator((_: unknown, context: ExecutionContext): string | null => {
  const { headersDistinct, query } = context.switchToHttp().getRequest<Request>();
  const [header, ...others] = headersDistinct['authorization'] ?? [];
  const parameter = query['access_token'];
  if (header === undefined) return typeof parameter === 'string' ? parameter : null;
  const unambiguous = others.length === 0 && parameter === undefined;
  return (unambiguous && /^bearer +(\S+)$/i.exec(header)?.[1]) || null;
});

function requesterOf(_: unknown, context: ExecutionContext): Requester | null {
  return (context.switchToHttp().getRequest<Request>().user as Requester | undefined) ?? null;
}
