import { Injectable, Optional } from '@nestjs/common';
import { Environment } from '../../config/environment.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { PageRegistration } from '../../session/register/page-registration.js';
import { CODE_GRANT, DEVICE_GRANT, REFRESH_GRANT } from '../clients/client-metadata.rules.js';
import { OAuthUrls } from '../oauth-urls.js';

/** What people can do on the account page, by the names of the specification and by older ones that are in use. */
export const ACCOUNT_ACTIONS = [
  'org.matrix.devices_list',
  'org.matrix.device_view',
  'org.matrix.device_delete',
  'org.matrix.account_deactivate',
  'org.matrix.cross_signing_reset',
  'org.matrix.sessions_list',
  'org.matrix.session_view',
  'org.matrix.session_end',
];

/** Says what the authorization server can do (RFC 8414). */
@Injectable()
export class ProviderMetadata {
  constructor(
    private readonly urls: OAuthUrls,
    private readonly environment: Environment,
    /** Missing where registration is left out of the service. */
    @Optional() private readonly registrations?: PageRegistration,
  ) {}

  /**
   * The metadata, or while OAuth 2.0 is off only what a homeserver needs that trusts the tokens.
   * @throws {MatrixError} 404 `M_UNRECOGNIZED` without either
   */
  async getWellKnown(): Promise<object> {
    const { oauth, homeserver } = this.environment;
    if (oauth.isOn) return this.get();
    if (homeserver.secret === null) throw new MatrixError(404, 'M_UNRECOGNIZED', 'Unknown endpoint');
    const { issuer } = this.urls;
    return { issuer, account_management_uri: issuer };
  }

  async get(): Promise<object> {
    const { urls } = this;
    const mayRegister = (await this.registrations?.isOpen()) ?? false;
    return {
      issuer: urls.issuer,
      authorization_endpoint: urls.page('/oauth2/auth'),
      token_endpoint: urls.endpoint('/oauth2/token'),
      revocation_endpoint: urls.endpoint('/oauth2/revoke'),
      registration_endpoint: urls.endpoint('/oauth2/clients'),
      device_authorization_endpoint: urls.endpoint('/oauth2/device'),
      response_types_supported: ['code'],
      response_modes_supported: ['query', 'fragment'],
      grant_types_supported: [CODE_GRANT, REFRESH_GRANT, DEVICE_GRANT],
      code_challenge_methods_supported: ['S256'],
      // Without these, the default would be a secret in a header.
      token_endpoint_auth_methods_supported: ['none'],
      revocation_endpoint_auth_methods_supported: ['none'],
      ...(mayRegister ? { prompt_values_supported: ['create'] } : {}),
      account_management_uri: urls.account,
      account_management_actions_supported: ACCOUNT_ACTIONS,
    };
  }
}
