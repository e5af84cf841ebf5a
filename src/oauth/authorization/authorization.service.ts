import { Injectable } from '@nestjs/common';
import { AuditService } from '../../audit/audit.service.js';
import type { Tx } from '../../database/tx.js';
import type { Origin } from '../../matrix/client-origin.decorator.js';
import type { Parameters } from '../../matrix/form-body.js';
import { TokenIssuer } from '../../session/token-issuer.js';
import { ClientsService } from '../clients/clients.service.js';
import { type AuthorizationRequest, checkAuthorization, type Checked } from './authorization.rules.js';
import { callbackOf } from './callback.rules.js';
import { GrantsService } from './grants.service.js';

/** How long an app has to exchange a code. */
const CODE_LIFE_MS = 60_000;

/** Checks requests for authorization codes, and carries out what the user decides. */
@Injectable()
export class AuthorizationService {
  constructor(
    private readonly clients: ClientsService,
    private readonly grants: GrantsService,
    private readonly tokens: TokenIssuer,
    private readonly audit: AuditService,
  ) {}

  /** Checks a request by its parameters. It needs no state, so the same URL may be checked any number of times. */
  async check(parameters: Parameters): Promise<Checked> {
    const clientId = parameters.get('client_id');
    const client = clientId === null ? null : await this.clients.find(clientId);
    return checkAuthorization(parameters, client);
  }

  /**
   * Gives the app a code. The account must be held.
   * @returns where the browser goes with it
   */
  async allow(tx: Tx, userId: string, request: AuthorizationRequest, origin: Origin): Promise<string> {
    const { client, target, scope, codeChallenge } = request;
    const { token: code, digest } = this.tokens.issue('mxc', userId);
    await this.grants.give(tx, {
      userId,
      grantDigest: digest,
      clientId: client.clientId,
      scope: scope.text,
      deviceId: scope.deviceId,
      redirectUri: target.redirectUri,
      codeChallenge,
      expiresAt: new Date(tx.startedAt.getTime() + CODE_LIFE_MS),
    });
    const about = [{ userId, deviceId: scope.deviceId }];
    this.audit.record(tx, 'consent_given', about, () => origin, { clientId: client.clientId });
    return callbackOf(target, { code });
  }

  /** Tells the app that the user has refused; returns where the browser goes. */
  refuse(tx: Tx, userId: string, { client, target, scope }: AuthorizationRequest, origin: Origin): string {
    const about = [{ userId, deviceId: scope.deviceId }];
    this.audit.record(tx, 'consent_refused', about, () => origin, { clientId: client.clientId });
    return callbackOf(target, { error: 'access_denied', error_description: 'The user has refused' });
  }
}
