import { ErrorAnswer } from './matrix-error.js';

/** The error codes of OAuth 2.0 that this service answers with (RFC 6749, 6750, 7591 and 8628). */
export type OAuthErrorCode =
  | 'access_denied'
  | 'authorization_pending'
  | 'expired_token'
  | 'invalid_client'
  | 'invalid_client_metadata'
  | 'invalid_grant'
  | 'invalid_redirect_uri'
  | 'invalid_request'
  | 'invalid_scope'
  | 'invalid_token'
  | 'server_error'
  | 'slow_down'
  | 'temporarily_unavailable'
  | 'unauthorized_client'
  | 'unsupported_grant_type';

/** An error of OAuth 2.0 (RFC 6749, section 5.2). It is never a Matrix error: clients would sign their user out. */
export class OAuthError extends ErrorAnswer {
  override readonly headers: Readonly<Record<string, string>>;

  constructor(
    override readonly status: number,
    readonly code: OAuthErrorCode,
    description: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(description);
    this.headers = { 'Cache-Control': 'no-store', ...headers };
  }

  override toBody(): Record<string, unknown> {
    return { error: this.code, error_description: this.message };
  }
}
