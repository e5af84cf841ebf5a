import type { Environment } from '../config/environment.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { serverNameOf } from '../matrix/user-id.js';
import type { Requester } from '../auth/requester.js';

/**
 * Refuses everybody but administrators: those of `SERVER_ADMINS`, and those whom another administrator made. Call it
 * before any look-up, so that nobody else learns what exists.
 * @throws {MatrixError} `M_FORBIDDEN`, also for application services
 *
 * @example
 * ```ts
 * @Get('_acme/reports')
 * async reports(@CurrentRequester() requester: Requester) {
 *   requireServerAdmin(this.environment, requester);
 *   return this.store.all();
 * }
 * ```
 */
export function requireServerAdmin(environment: Environment, requester: Requester): void {
  if (requester.isAppservice || !isServerAdmin(environment, requester))
    throw MatrixError.forbidden('Only administrators may do this');
}

/** Whether somebody is an administrator: `SERVER_ADMINS` names them, or another administrator made them one. */
export function isServerAdmin(
  { serverAdmins }: Environment,
  { userId, isAdmin }: Pick<Requester, 'userId' | 'isAdmin'>,
): boolean {
  return isAdmin || serverAdmins.includes(userId);
}

/**
 * Refuses anything but a whole user ID of this server, and returns it unchanged. If names were completed or their
 * case changed, the result might be another user.
 * @throws {MatrixError} `M_INVALID_PARAM`
 */
export function requireWholeUserId({ serverName }: Environment, userId: string): string {
  if (!userId.startsWith('@') || serverNameOf(userId) !== serverName)
    throw MatrixError.invalidParam(`A whole user ID of this server is needed, such as @alice:${serverName}`);
  return userId;
}
