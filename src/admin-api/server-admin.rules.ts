import type { Environment } from '../config/environment.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { serverNameOf } from '../matrix/user-id.js';
import type { Requester } from '../auth/requester.js';

/**
 * Refuses everybody but administrators (`SERVER_ADMINS`). Call it before any look-up, so that nobody else learns what
 * exists.
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
export function requireServerAdmin({ serverAdmins }: Environment, { userId, isAppservice }: Requester): void {
  if (isAppservice || !serverAdmins.includes(userId))
    throw MatrixError.forbidden('Only administrators may do this');
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
