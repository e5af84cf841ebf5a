import { createHash } from 'node:crypto';
import * as z from 'zod';
import { orderedJson } from '../../matrix/canonical-json.js';
import { isStorable } from '../../matrix/json-body.js';
import { OAuthError } from '../../matrix/oauth-error.js';
import { type ApplicationType, isAtOrBelow, isRedirectUri, publicHostOf } from './redirect-uri.rules.js';

export const CODE_GRANT = 'authorization_code';
export const REFRESH_GRANT = 'refresh_token';
export const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

const GRANT_TYPES = [CODE_GRANT, REFRESH_GRANT, DEVICE_GRANT];
const NAME_LIMIT = 200;
const URI_LIMIT = 512;
const MOST_REDIRECT_URIS = 20;

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

const uri = z.string().max(URI_LIMIT).refine(isStorable);
const list = z.array(z.string()).transform((values) => [...new Set(values)]);

/** Characters that are not seen, or change the place or the direction of the text around them. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;
/** Joins the parts of an emoji. */
const JOINER = '\u200D';

const registration = z
  .object({
    client_uri: uri.refine((value) => publicHostOf(value) !== null),
    client_name: z
      .string()
      .refine((name) => name.trim() !== '' && [...name].length <= NAME_LIMIT && isStorable(name))
      .refine((name) => !UNSEEN.test(name.replaceAll(JOINER, '')))
      .nullish(),
    logo_uri: uri.nullish(),
    tos_uri: uri.nullish(),
    policy_uri: uri.nullish(),
    redirect_uris: list.pipe(z.array(uri).max(MOST_REDIRECT_URIS)).nullish(),
    response_types: list.nullish(),
    grant_types: list.nullish(),
    token_endpoint_auth_method: z.literal('none').nullish(),
    application_type: z.enum(['web', 'native']).nullish(),
  })
  .superRefine((given, context) => {
    const host = publicHostOf(given.client_uri);
    // Refused above; the other rules need it.
    if (host === null) return;
    const refuse = (field: keyof typeof given) => context.addIssue({ code: 'custom', path: [field] });
    for (const field of ['logo_uri', 'tos_uri', 'policy_uri'] as const) {
      const linked = given[field] ?? null;
      if (linked !== null && !isAtOrBelow(publicHostOf(linked) ?? '', host)) refuse(field);
    }
    const { grant_types, response_types } = grantsOf(given);
    const redirects = given.redirect_uris ?? [];
    const byCode = grant_types.includes(CODE_GRANT);
    if (!byCode && !grant_types.includes(DEVICE_GRANT)) refuse('grant_types');
    if (byCode && response_types.length === 0) refuse('response_types');
    const type = given.application_type ?? 'web';
    if ((byCode && redirects.length === 0) || !redirects.every((one) => isRedirectUri(one, type, host)))
      refuse('redirect_uris');
  });

type Registration = z.output<typeof registration>;

/** What each field must be, in words for the developer of a client. */
const RULES: Readonly<Record<string, string>> = {
  client_uri: 'client_uri must be an https URL of a public host, without a user',
  client_name: `client_name must have 1 to ${NAME_LIMIT} characters, without control characters`,
  logo_uri: 'logo_uri must be an https URL at the host of client_uri, or below it',
  tos_uri: 'tos_uri must be an https URL at the host of client_uri, or below it',
  policy_uri: 'policy_uri must be an https URL at the host of client_uri, or below it',
  redirect_uris: `redirect_uris must be 1 to ${MOST_REDIRECT_URIS} URIs that belong to the host of client_uri, in a form for this application_type`,
  response_types: 'response_types must be a list with code, for the grant authorization_code',
  grant_types: 'grant_types must be a list with authorization_code or the device code grant',
  token_endpoint_auth_method: 'token_endpoint_auth_method must be none: clients have no secret here',
  application_type: 'application_type must be web or native',
};

/**
 * Reads the registration of a client ("Client registration"). What is unknown is left out.
 * @throws {OAuthError} 400 `invalid_client_metadata` or `invalid_redirect_uri`
 */
export function toClientMetadata(body: Readonly<Record<string, unknown>>): ClientMetadata {
  const { data, error } = registration.safeParse(body);
  if (error !== undefined) {
    const [{ path, code }] = error.issues as [z.core.$ZodIssue];
    const field = String(path[0]);
    const isAboutUris = field === 'redirect_uris' && code !== 'invalid_type';
    throw new OAuthError(
      400,
      isAboutUris ? 'invalid_redirect_uri' : 'invalid_client_metadata',
      RULES[field]!,
    );
  }
  const { client_uri, client_name, logo_uri, tos_uri, policy_uri, redirect_uris, application_type } = data;
  return {
    client_uri,
    ...present({ client_name, logo_uri, tos_uri, policy_uri }),
    redirect_uris: redirect_uris ?? [],
    ...grantsOf(data),
    token_endpoint_auth_method: 'none',
    application_type: application_type ?? 'web',
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

/** The grants that are known here; every client gets refresh tokens. */
function grantsOf(
  asked: Pick<Registration, 'grant_types' | 'response_types'>,
): Pick<ClientMetadata, 'grant_types' | 'response_types'> {
  const wanted = new Set(asked.grant_types ?? [CODE_GRANT]);
  const types = asked.response_types ?? (wanted.has(CODE_GRANT) ? ['code'] : []);
  return {
    grant_types: GRANT_TYPES.filter((type) => type === REFRESH_GRANT || wanted.has(type)),
    response_types: types.includes('code') ? ['code'] : [],
  };
}

/** The fields that have a value. */
function present<Fields extends Record<string, string | null | undefined>>(
  fields: Fields,
): { [Name in keyof Fields]?: string } {
  const entries = Object.entries(fields).filter(([, value]) => (value ?? null) !== null);
  return Object.fromEntries(entries) as { [Name in keyof Fields]?: string };
}
