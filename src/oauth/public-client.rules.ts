import type { Request } from 'express';
import type { Parameters } from '../matrix/form-body.js';
import { OAuthError } from '../matrix/oauth-error.js';

/**
 * Refuses clients that send a secret. None of them has one here, and to ignore it would look like a check.
 * @throws {OAuthError} 401 `invalid_client`
 */
export function requirePublicClient({ headers }: Request, form: Parameters): void {
  if (headers.authorization !== undefined || form.get('client_secret') !== null)
    throw new OAuthError(401, 'invalid_client', 'Clients have no secret here', {
      'WWW-Authenticate': 'Basic',
    });
}
