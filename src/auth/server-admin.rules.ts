import type { Environment } from '../config/environment.js';
import { MatrixError } from '../matrix/matrix-error.js';
import type { Requester } from './requester.js';

/**
 * Lets administrators (`SERVER_ADMINS`) through. Asked before anything is looked up, so that nobody else learns what exists.
 * @throws {MatrixError} `M_FORBIDDEN`
 */
export function requireServerAdmin({ serverAdmins }: Environment, { userId, isAppservice }: Requester): void {
  if (isAppservice || !serverAdmins.includes(userId))
    throw MatrixError.forbidden('Only administrators may do this');
}
