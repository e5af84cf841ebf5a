import { ErrorAnswer } from '../../matrix/matrix-error.js';

/** An error of OAuth 2.0 (RFC 6749, section 5.2; RFC 6750, section 3.1). */
export class OAuthError extends ErrorAnswer {
  override readonly headers: Readonly<Record<string, string>>;

  constructor(
    override readonly status: number,
    readonly code: 'invalid_request' | 'invalid_token' | 'temporarily_unavailable',
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
