import { Injectable } from '@nestjs/common';
import { RateLimiter } from '../../admission/rate-limiter.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import type { Parameters } from '../../matrix/form-body.js';
import { TokenIssuer } from '../../session/token-issuer.js';
import { type Granted, GrantsService, invalidGrant, isVerifierOf } from '../authorization/grants.service.js';
import type { Client } from '../clients/clients.store.js';

/** Exchanges authorization codes for sessions. */
@Injectable()
export class CodeExchange {
  constructor(
    private readonly tokens: TokenIssuer,
    private readonly grants: GrantsService,
    private readonly limiter: RateLimiter,
  ) {}

  /**
   * Begins the session of a code.
   * @throws {OAuthError} 400 `invalid_request`; 400 `invalid_grant` for whatever is wrong with the code, the redirect
   *   URI or the verifier
   * @throws {MatrixError} `M_LIMIT_EXCEEDED`
   */
  async redeem(form: Parameters, client: Client, origin: Origin): Promise<Granted> {
    const [code, redirectUri, verifier] = [
      form.need('code'),
      form.need('redirect_uri'),
      form.need('code_verifier'),
    ];
    await this.limiter.count('oauth_codes', origin.address);
    const presented = this.tokens.read('mxc', code);
    if (presented === null) throw invalidGrant();
    return this.grants.redeem(
      { userId: presented.userId, grantDigest: presented.digest },
      client,
      (grant) => grant.redirectUri === redirectUri && isVerifierOf(verifier, grant.codeChallenge),
      origin,
    );
  }
}
