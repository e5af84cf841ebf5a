import * as z from 'zod';

/** The OAuth 2.0 API and its pages. */
export const oauthVariables = {
  OAUTH: z
    .enum(['on', 'off'], { error: '"on" or "off"' })
    .optional()
    .describe(
      'Whether clients may sign in by OAuth 2.0, on pages of this service (docs/oauth.md). Default: on if PUBLIC_BASE_URL is set, and the pages have a host without a path.',
    ),
  ACCOUNT_BASE_URL: z
    .string()
    .refine(
      (value) => URL.canParse(value) && ['http:', 'https:'].includes(new URL(value).protocol),
      'a URL that starts with http:// or https://',
    )
    .refine((value) => !URL.canParse(value) || isOrigin(value), 'a URL without a path')
    .optional()
    .describe(
      'Base URL of the pages where people sign in, if they have a host of their own: one that serves no uploaded media. Default: PUBLIC_BASE_URL.',
    ),
  PAGES_NAME: z
    .string()
    .max(100, 'at most 100 characters')
    .optional()
    .describe('Name of the service on these pages. Default: SERVER_NAME.'),
  PAGES_LOGO: z
    .string()
    .regex(/\.(?:svg|png|webp|jpe?g)$/i, 'a file that ends with .svg, .png, .webp, .jpg or .jpeg')
    .optional()
    .describe('Image file that the pages show above the name. Default: none.'),
  PAGES_COLOR: z
    .string()
    .regex(/^#[0-9a-fA-F]{6}$/, 'a colour such as #0b6e4f')
    .default('#0b6e4f')
    .describe('Colour of buttons and links on these pages.'),
};

type Variables = z.infer<z.ZodObject<typeof oauthVariables>>;

/** Whether a URL has nothing behind its host and port: the pages are at the root. */
function isOrigin(value: string): boolean {
  const { pathname, search, hash } = new URL(value);
  return pathname === '/' && search === '' && hash === '';
}

/** What is wrong with these variables together. */
export function oauthProblemsOf(
  variables: Variables & { readonly PUBLIC_BASE_URL?: string | undefined },
): string[] {
  const { OAUTH, ACCOUNT_BASE_URL, PUBLIC_BASE_URL } = variables;
  if (
    OAUTH !== 'on' ||
    ACCOUNT_BASE_URL !== undefined ||
    PUBLIC_BASE_URL === undefined ||
    isOrigin(PUBLIC_BASE_URL)
  )
    return [];
  return [
    'ACCOUNT_BASE_URL must be set when PUBLIC_BASE_URL has a path: the pages are at the root of a host',
  ];
}

/** The settings of the OAuth 2.0 API and its pages. */
export interface OAuthSettings {
  readonly isOn: boolean;
  /** Where the pages are, without a slash at its end. */
  readonly pagesUrl: string;
  /** The host of the API, if the pages have another one; `null`: they share it. */
  readonly apiHost: string | null;
  readonly name: string;
  /** `null`: none. */
  readonly logoFile: string | null;
  /** As `#rrggbb`. */
  readonly color: string;
}

export function oauthOf(
  variables: Variables & { readonly PUBLIC_BASE_URL?: string | undefined; readonly SERVER_NAME: string },
  publicBaseUrl: string,
): OAuthSettings {
  const pages = variables.ACCOUNT_BASE_URL ?? publicBaseUrl;
  const isByDefault = variables.PUBLIC_BASE_URL !== undefined && isOrigin(pages);
  return {
    isOn: variables.OAUTH === undefined ? isByDefault : variables.OAUTH === 'on',
    pagesUrl: new URL(pages).origin,
    apiHost: new URL(publicBaseUrl).host === new URL(pages).host ? null : new URL(publicBaseUrl).host,
    name: variables.PAGES_NAME ?? variables.SERVER_NAME,
    logoFile: variables.PAGES_LOGO ?? null,
    color: variables.PAGES_COLOR,
  };
}

/**
 * The page where users do what their OAuth 2.0 clients may not do for them; `null` while there is none.
 * @param action one of those in the metadata, such as `org.matrix.cross_signing_reset`
 */
export function accountPageOf(
  { isOn, pagesUrl }: OAuthSettings,
  action: string | null = null,
): string | null {
  if (!isOn) return null;
  return `${pagesUrl}/account${action === null ? '' : `?action=${action}`}`;
}
