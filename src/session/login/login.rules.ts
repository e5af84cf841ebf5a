import { MatrixError } from '../../matrix/matrix-error.js';
import type { LoginDto } from './login.dto.js';

/** The one type of login on offer. */
export const PASSWORD = 'm.login.password';

/**
 * Whom a password login names ("Identifier types"; the top-level `user` is deprecated and still specified).
 * @throws {MatrixError} `M_MISSING_PARAM`, `M_BAD_JSON`, or `M_UNKNOWN` for an identifier of another type
 */
export function userOf({ identifier, user }: Pick<LoginDto, 'identifier' | 'user'>): string {
  if (identifier === undefined) {
    if (user === undefined) throw MatrixError.missingParam('identifier');
    return user;
  }
  if (identifier['type'] === undefined) throw MatrixError.missingParam('identifier.type');
  if (identifier['type'] !== 'm.id.user')
    throw new MatrixError(400, 'M_UNKNOWN', 'Unknown type of identifier');
  const named = identifier['user'];
  if (named === undefined) throw MatrixError.missingParam('identifier.user');
  if (typeof named !== 'string') throw MatrixError.badJson('identifier.user must be a string');
  return named;
}
