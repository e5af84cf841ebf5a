import { createParamDecorator, type ExecutionContext, SetMetadata } from '@nestjs/common';
import type { Request } from 'express';
import { MatrixError } from '../matrix/matrix-error.js';
import type { Requester, RequesterDevice } from './requester.js';

export const PUBLIC = 'auth:public';
export const TOKEN_OPTIONAL = 'auth:token-optional';
export const EXPIRED_TOKEN_ALLOWED = 'auth:expired-token-allowed';
export const LOCKED_USER_ALLOWED = 'auth:locked-user-allowed';
export const GUESTS_ALLOWED = 'auth:guests-allowed';
export const ADMIN_TOKEN_ALLOWED = 'auth:admin-token-allowed';

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
 * The token may be missing, and `@CurrentRequester()` is then `null`. If there is one, it is verified.
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
 * Also accepts an expired token while its device exists: for routes that only remove things.
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
 * Also accepts users whom an administrator has locked ("Account locking").
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
 * Also accepts guests, who are refused by default ("Guest Access").
 *
 * @example
 * ```ts
 * @GuestsAllowed()
 * @Get('notes')
 * list(@CurrentRequester() { userId }: Requester) {}
 * ```
 */
export const GuestsAllowed = () => SetMetadata(GUESTS_ALLOWED, true);

/** Also accepts `ADMIN_TOKEN`, which belongs to no user: for endpoints of administrators. */
export const AdminTokenAllowed = () => SetMetadata(ADMIN_TOKEN_ALLOWED, true);

/**
 * The {@link Requester} of the current request; `null` on a `@Public()` route, and without a token on a
 * `@TokenOptional()` one.
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
 * The token sent to a `@Public()` route, unverified; `null` if there is none, or more than one. For routes where only
 * application services send a token.
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
