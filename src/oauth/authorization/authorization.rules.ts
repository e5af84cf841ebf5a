import type { Parameters } from '../../matrix/form-body.js';
import { CODE_GRANT } from '../clients/client-metadata.rules.js';
import type { Client } from '../clients/clients.store.js';
import { isRegistered } from '../clients/redirect-uri.rules.js';
import { readScope, type Scope, SCOPE_RULE } from '../scope.rules.js';
import type { CallbackTarget } from './callback.rules.js';

/** The digest of a code verifier (RFC 7636, section 4.2). */
const CHALLENGE = /^[\w-]{43}$/;

/** The errors that an app is told at its redirect URI (RFC 6749, section 4.1.2.1). */
export type CallbackError =
  | 'access_denied'
  | 'invalid_request'
  | 'invalid_scope'
  | 'login_required'
  | 'request_not_supported'
  | 'request_uri_not_supported'
  | 'server_error'
  | 'temporarily_unavailable'
  | 'unauthorized_client'
  | 'unsupported_response_type';

/** A request for an authorization code that may be shown to the user. */
export interface AuthorizationRequest {
  readonly client: Client;
  readonly target: CallbackTarget;
  readonly scope: Scope;
  readonly codeChallenge: string;
  /** The app asks for a new account. */
  readonly wantsAccount: boolean;
}

/** What a request for an authorization code comes to. */
export type Checked =
  | { readonly kind: 'valid'; readonly request: AuthorizationRequest }
  /** Nobody may be sent back, because nobody knows who asks. */
  | { readonly kind: 'untrusted' }
  /** The app is told. */
  | {
      readonly kind: 'refused';
      readonly target: CallbackTarget;
      readonly error: CallbackError;
      readonly description: string;
    };

/**
 * Checks a request for an authorization code ("Login flow" of OAuth 2.0). Who may be told of an error comes first: an
 * unregistered redirect URI would make this service an open redirector.
 * @param client the client of the parameter `client_id`, if there is one
 */
export function checkAuthorization(parameters: Parameters, client: Client | null): Checked {
  const { repeated } = parameters;
  const redirectUri = parameters.get('redirect_uri');
  if (client === null || redirectUri === null || repeated.has('client_id') || repeated.has('redirect_uri'))
    return { kind: 'untrusted' };
  const { metadata } = client;
  if (!isRegistered(redirectUri, metadata.redirect_uris, metadata.application_type))
    return { kind: 'untrusted' };
  const mode = parameters.get('response_mode') ?? 'query';
  const state = repeated.has('state') ? null : parameters.get('state');
  const target: CallbackTarget = { redirectUri, mode: mode === 'fragment' ? 'fragment' : 'query', state };
  const refuse = (error: CallbackError, description: string): Checked => ({
    kind: 'refused',
    target,
    error,
    description,
  });
  if (repeated.size > 0) return refuse('invalid_request', 'A parameter stands there more than once');
  if (parameters.get('request') !== null) return refuse('request_not_supported', 'request is not supported');
  if (parameters.get('request_uri') !== null)
    return refuse('request_uri_not_supported', 'request_uri is not supported');
  const responseType = parameters.get('response_type');
  if (responseType === null) return refuse('invalid_request', 'response_type is needed');
  if (responseType !== 'code') return refuse('unsupported_response_type', 'response_type must be code');
  if (mode !== 'query' && mode !== 'fragment')
    return refuse('invalid_request', 'response_mode must be query or fragment');
  if (!metadata.grant_types.includes(CODE_GRANT))
    return refuse('unauthorized_client', 'The client has not registered for the grant authorization_code');
  const codeChallenge = parameters.get('code_challenge') ?? '';
  if (!CHALLENGE.test(codeChallenge) || parameters.get('code_challenge_method') !== 'S256')
    return refuse('invalid_request', 'code_challenge is needed, with the code_challenge_method S256');
  const scope = readScope(parameters.get('scope') ?? '');
  if (scope === null) return refuse('invalid_scope', SCOPE_RULE);
  const prompts = (parameters.get('prompt') ?? '').split(' ');
  // The user has to agree in any case.
  if (prompts.includes('none')) return refuse('login_required', 'The user has to be asked');
  return {
    kind: 'valid',
    request: { client, target, scope, codeChallenge, wantsAccount: prompts.includes('create') },
  };
}
