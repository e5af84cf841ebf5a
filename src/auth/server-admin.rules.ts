import type { Environment } from '../config/environment.js';
import { MatrixError } from '../matrix/matrix-error.js';
import { serverNameOf } from '../matrix/user-id.js';
import type { Requester } from './requester.js';

/**
 * Lets administrators (`SERVER_ADMINS`) through. Asked before anything is looked up, so that nobody else learns
 * what exists.
 * @throws {MatrixError} `M_FORBIDDEN`, of application services, too
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
 * Lets whole user IDs of this server through: a name that is completed, or read in another letter case, may be
 * somebody else.
 * @throws {MatrixError} `M_INVALID_PARAM`
 */
export function requireWholeUserId({ serverName }: Environment, userId: string): string {
  if (!userId.startsWith('@') || serverNameOf(userId) !== serverName)
    throw MatrixError.invalidParam(`A whole user ID of this server is needed, such as @alice:${serverName}`);
  return userId;
}
