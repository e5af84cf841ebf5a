import { Injectable } from '@nestjs/common';
import { RateLimiter } from '../../admission/rate-limiter.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import type { Parameters } from '../../matrix/form-body.js';
import { OAuthError } from '../../matrix/oauth-error.js';
import { RefreshService } from '../../session/refresh/refresh.service.js';
import type { TokenPair } from '../../session/session.rules.js';
import { invalidGrant } from '../authorization/grants.service.js';
import { CODE_GRANT, DEVICE_GRANT } from '../clients/client-metadata.rules.js';
import { ClientsService } from '../clients/clients.service.js';
import type { Client } from '../clients/clients.store.js';
import { DeviceGrantsService } from '../device-grant/device-grants.service.js';
import { tokensOf } from '../scope.rules.js';
import { CodeExchange } from './code-exchange.js';

/** Tokens, as a client gets them (RFC 6749, section 5.1). */
export interface TokenAnswer {
  readonly access_token: string;
  readonly token_type: 'Bearer';
  /** In whole seconds. */
  readonly expires_in: number;
  readonly refresh_token: string;
  readonly scope: string;
}

/** Exchanges grants for tokens. */
@Injectable()
export class TokenService {
  constructor(
    private readonly clients: ClientsService,
    private readonly codes: CodeExchange,
    private readonly devices: DeviceGrantsService,
    private readonly refreshes: RefreshService,
    private readonly limiter: RateLimiter,
  ) {}

  /** @throws {OAuthError} 400 or 401, as RFC 6749, section 5.2 has it */
  async answer(grantType: string, form: Parameters, origin: Origin): Promise<TokenAnswer> {
    switch (grantType) {
      case 'authorization_code':
        return this.byCode(form, origin);
      case 'refresh_token':
        return this.byRefreshToken(form, origin);
      case DEVICE_GRANT:
        return this.byDeviceCode(form, origin);
      default:
        throw new OAuthError(400, 'unsupported_grant_type', 'This grant_type is not known here');
    }
  }

  private async byCode(form: Parameters, origin: Origin): Promise<TokenAnswer> {
    const client = await this.clientOf(form, CODE_GRANT);
    // Before the commit, because an error after it would lose the tokens.
    await this.clients.touch(client);
    const { session, scope } = await this.codes.redeem(form, client, origin);
    return toAnswer(session.pair, scope);
  }

  private async byDeviceCode(form: Parameters, origin: Origin): Promise<TokenAnswer> {
    await this.limiter.count('oauth_polls', origin.address);
    const client = await this.clientOf(form, DEVICE_GRANT);
    const { session, scope } = await this.devices.redeem(form.need('device_code'), client, origin);
    return toAnswer(session.pair, scope);
  }

  private async byRefreshToken(form: Parameters, origin: Origin): Promise<TokenAnswer> {
    await this.limiter.count('refresh', origin.address);
    const clientId = form.need('client_id');
    const asked = form.get('scope');
    const client = { clientId, scope: asked === null ? null : tokensOf(asked) };
    const refreshed = await this.refreshes.rotateFor(client, form.need('refresh_token'), origin);
    if (refreshed.kind === 'rotated') return toAnswer(refreshed.pair, refreshed.scope);
    if (refreshed.kind === 'beyond_scope')
      throw new OAuthError(400, 'invalid_scope', 'A refresh cannot widen the scope');
    // The session knows its client, so whether there is one matters only now.
    await this.clients.need(clientId);
    throw invalidGrant();
  }

  private async clientOf(form: Parameters, grantType: string): Promise<Client> {
    const client = await this.clients.need(form.need('client_id'));
    if (!client.metadata.grant_types.includes(grantType))
      throw new OAuthError(400, 'unauthorized_client', 'The client has not registered for this grant_type');
    return client;
  }
}

function toAnswer({ access, refresh, lifetimeMs }: TokenPair, scope: string): TokenAnswer {
  return {
    access_token: access.token,
    token_type: 'Bearer',
    expires_in: Math.floor(lifetimeMs! / 1_000),
    refresh_token: refresh!.token,
    scope,
  };
}
