/** How an app gets its answer. */
export interface CallbackTarget {
  readonly redirectUri: string;
  /** Which part of the URI takes the answer. */
  readonly mode: 'query' | 'fragment';
  readonly state: string | null;
}

/**
 * The URI that takes the answer to the app. It is appended as text: a parsed and printed URL need not be the one that
 * was registered.
 */
export function callbackOf(
  { redirectUri, mode, state }: CallbackTarget,
  answer: Readonly<Record<string, string>>,
): string {
  const pairs = Object.entries({ ...answer, ...(state === null ? {} : { state }) });
  const text = pairs.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
  if (mode === 'fragment') return `${redirectUri}#${text}`;
  if (!redirectUri.includes('?')) return `${redirectUri}?${text}`;
  return /[?&]$/.test(redirectUri) ? redirectUri + text : `${redirectUri}&${text}`;
}

/**
 * What a page must allow in `form-action` so that its form may end at the app: the origin of a website, or the scheme
 * of an app. Browsers hold redirects after a form against it.
 */
export function formActionOf(redirectUri: string): string {
  const { protocol, hostname, port } = new URL(redirectUri);
  // A policy cannot name an IPv6 address.
  if (hostname.startsWith('[')) return `${protocol}//*${port === '' ? '' : `:${port}`}`;
  return targetOf(redirectUri);
}

/** Where the browser goes on, as people can check it. */
export function targetOf(redirectUri: string): string {
  const { protocol, origin } = new URL(redirectUri);
  return protocol === 'https:' || protocol === 'http:' ? origin : protocol;
}
