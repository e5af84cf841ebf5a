import type { Request } from 'express';
import { readBytes } from '../../matrix/json-body.js';
import { OAuthError } from './oauth-error.js';

/** Far more than a token and its hint have. */
const MOST_BYTES = 16 * 1_024;

/**
 * Reads the body of the request as a form.
 * @throws {OAuthError} 400 `invalid_request` for another type
 * @throws {MatrixError} 413 `M_TOO_LARGE`
 */
export async function readForm(request: Request): Promise<URLSearchParams> {
  if (request.is('application/x-www-form-urlencoded') === false)
    throw new OAuthError(400, 'invalid_request', 'The body must be application/x-www-form-urlencoded');
  return new URLSearchParams((await readBytes(request, MOST_BYTES)).toString('utf8'));
}
