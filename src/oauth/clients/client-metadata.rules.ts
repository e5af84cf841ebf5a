import { createHash } from 'node:crypto';
import { orderedJson } from '../../matrix/canonical-json.js';
import { isStorable } from '../../matrix/json-body.js';
import { OAuthError } from '../../matrix/oauth-error.js';
import { type ApplicationType, isAtOrBelow, isRedirectUri, publicHostOf } from './redirect-uri.rules.js';

export const CODE_GRANT = 'authorization_code';
export const REFRESH_GRANT = 'refresh_token';
export const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

const GRANT_TYPES = [CODE_GRANT, REFRESH_GRANT, DEVICE_GRANT];
const NAME_LIMIT = 200;
const URI_LIMIT = 2_048;
const MOST_REDIRECT_URIS = 50;

/** What is kept of a client's registration, by the names of RFC 7591. */
export interface ClientMetadata {
  readonly client_uri: string;
  readonly client_name?: string;
  readonly logo_uri?: string;
  readonly tos_uri?: string;
  readonly policy_uri?: string;
  readonly redirect_uris: readonly string[];
  readonly response_types: readonly string[];
  readonly grant_types: readonly string[];
  readonly token_endpoint_auth_method: 'none';
  readonly application_type: ApplicationType;
}

/**
 * Reads the registration of a client ("Client registration"). What is unknown is left out.
 * @throws {OAuthError} 400 `invalid_client_metadata` or `invalid_redirect_uri`
 */
export function toClientMetadata(body: Readonly<Record<string, unknown>>): ClientMetadata {
  const client_uri = need(text(body, 'client_uri', URI_LIMIT), 'client_uri is needed');
  const host = publicHostOf(client_uri);
  if (host === null) throw invalid('client_uri must be an https URL of a public host, without a user');
  const application_type = body['application_type'] ?? 'web';
  if (application_type !== 'web' && application_type !== 'native')
    throw invalid('application_type must be web or native');
  if ((body['token_endpoint_auth_method'] ?? 'none') !== 'none')
    throw invalid('token_endpoint_auth_method must be none: clients have no secret here');
  const grants = grantsOf(body);
  const redirect_uris = list(body, 'redirect_uris') ?? [];
  if (grants.grant_types.includes(CODE_GRANT) && redirect_uris.length === 0)
    throw new OAuthError(400, 'invalid_redirect_uri', 'The code grant needs a redirect URI');
  if (redirect_uris.length > MOST_REDIRECT_URIS)
    throw new OAuthError(
      400,
      'invalid_redirect_uri',
      `There may be at most ${MOST_REDIRECT_URIS} redirect URIs`,
    );
  for (const uri of redirect_uris) {
    if (uri.length > URI_LIMIT || !isRedirectUri(uri, application_type, host))
      throw new OAuthError(
        400,
        'invalid_redirect_uri',
        'A redirect URI does not belong to the host of client_uri, or is not of the form for this application_type',
      );
  }
  return {
    client_uri,
    ...optional('client_name', nameOf(body)),
    ...optional('logo_uri', linkOf(body, 'logo_uri', host)),
    ...optional('tos_uri', linkOf(body, 'tos_uri', host)),
    ...optional('policy_uri', linkOf(body, 'policy_uri', host)),
    redirect_uris,
    ...grants,
    token_endpoint_auth_method: 'none',
    application_type,
  };
}

/** Equal registrations are one client, so its ID is a digest of what is kept. */
export function clientIdOf(metadata: ClientMetadata): string {
  const redirect_uris = metadata.redirect_uris.toSorted();
  return createHash('sha256')
    .update(orderedJson({ ...metadata, redirect_uris }))
    .digest('base64url')
    .slice(0, 32);
}

/** The host that people know the client by. */
export function hostOf({ client_uri }: ClientMetadata): string {
  return new URL(client_uri).hostname;
}

/** The name that the client gives itself, or its host. */
export function titleOf(metadata: ClientMetadata): string {
  return metadata.client_name ?? hostOf(metadata);
}

function grantsOf(
  body: Readonly<Record<string, unknown>>,
): Pick<ClientMetadata, 'grant_types' | 'response_types'> {
  const asked = list(body, 'grant_types') ?? [CODE_GRANT];
  const known = new Set(GRANT_TYPES.filter((type) => asked.includes(type)));
  const types = list(body, 'response_types') ?? (known.has(CODE_GRANT) ? ['code'] : []);
  const response_types = types.includes('code') ? ['code'] : [];
  if (!known.has(CODE_GRANT) && !known.has(DEVICE_GRANT))
    throw invalid('grant_types must have authorization_code or the device code grant');
  if (known.has(CODE_GRANT) && response_types.length === 0)
    throw invalid('response_types must have code for the grant authorization_code');
  // Every client gets refresh tokens.
  return {
    grant_types: GRANT_TYPES.filter((type) => type === REFRESH_GRANT || known.has(type)),
    response_types,
  };
}

function nameOf(body: Readonly<Record<string, unknown>>): string | null {
  const name = text(body, 'client_name', NAME_LIMIT * 4);
  if (name === null) return null;
  // Control characters, and those that change the direction or the place of the text around them.
  if (
    name.trim() === '' ||
    [...name].length > NAME_LIMIT ||
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(name.replaceAll('\u200D', ''))
  )
    throw invalid(`client_name must have 1 to ${NAME_LIMIT} characters, without control characters`);
  return name;
}

function linkOf(body: Readonly<Record<string, unknown>>, field: string, clientHost: string): string | null {
  const uri = text(body, field, URI_LIMIT);
  if (uri === null) return null;
  const host = publicHostOf(uri);
  if (host === null || !isAtOrBelow(host, clientHost))
    throw invalid(`${field} must be an https URL at the host of client_uri, or below it`);
  return uri;
}

function text(body: Readonly<Record<string, unknown>>, field: string, most: number): string | null {
  const value = body[field] ?? null;
  if (value === null) return null;
  if (typeof value !== 'string' || value.length > most || !isStorable(value))
    throw invalid(`${field} must be a string of at most ${most} characters`);
  return value;
}

function list(body: Readonly<Record<string, unknown>>, field: string): string[] | null {
  const value = body[field] ?? null;
  if (value === null) return null;
  const isList = Array.isArray(value) && value.every((one): one is string => typeof one === 'string');
  if (!isList) throw invalid(`${field} must be a list of strings`);
  return [...new Set(value)];
}

function optional<Name extends string>(name: Name, value: string | null): { readonly [_ in Name]?: string } {
  return value === null ? {} : ({ [name]: value } as { readonly [_ in Name]?: string });
}

function need<Value>(value: Value | null, problem: string): Value {
  if (value === null) throw invalid(problem);
  return value;
}

function invalid(problem: string): OAuthError {
  return new OAuthError(400, 'invalid_client_metadata', problem);
}
