/** Whether a client is a website or an app on a device. */
export type ApplicationType = 'web' | 'native';

const PRINTABLE = /^[\x21-\x7E]+$/;
const LOOPBACK = /^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?(\/.*|\?.*)?$/;
const LABEL = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;

/**
 * The host of an https URL that may stand for a client; `null` for any other text: a host of one label, an address, a
 * wildcard, a URL with a user, or with characters that URL parsers drop or replace.
 */
export function publicHostOf(text: string): string | null {
  if (!PRINTABLE.test(text) || text.includes('\\') || !/^https:\/\/[^/]/i.test(text) || !URL.canParse(text))
    return null;
  const { hostname, username, password } = new URL(text);
  const labels = hostname.split('.');
  const isPublic =
    labels.length > 1 &&
    labels.every((label) => LABEL.test(label)) &&
    // Only addresses end with a number, and names below .localhost are loopback.
    !/^\d+$/.test(labels.at(-1)!) &&
    labels.at(-1) !== 'localhost';
  return isPublic && username === '' && password === '' && !/^https:\/\/[^/?#]*@/i.test(text)
    ? hostname
    : null;
}

/** Whether a host is another one or below it, by whole labels. */
export function isAtOrBelow(host: string, other: string): boolean {
  return host === other || host.endsWith(`.${other}`);
}

/** Whether a client of this host may be sent back to this URI ("Redirect URI validation"). */
export function isRedirectUri(uri: string, type: ApplicationType, clientHost: string): boolean {
  if (!PRINTABLE.test(uri) || uri.includes('#') || uri.includes('\\') || !URL.canParse(uri)) return false;
  const host = publicHostOf(uri);
  if (host !== null) return isAtOrBelow(host, clientHost);
  if (type !== 'native') return false;
  return isLoopback(uri) ? !hasPort(uri) : isOwnScheme(uri, clientHost);
}

/**
 * Whether the URI of a request is one that the client registered. An app that listens on the loopback interface may
 * take any port.
 */
export function isRegistered(uri: string, registered: readonly string[], type: ApplicationType): boolean {
  const wanted = withPath(uri);
  if (registered.some((one) => withPath(one) === wanted)) return true;
  if (type !== 'native' || !isLoopback(uri)) return false;
  const { port, host, rest } = partsOf(uri);
  const isPort = port === null || (Number(port) > 0 && Number(port) <= 65_535);
  return isPort && registered.some((one) => isLoopback(one) && isSame(partsOf(one), { host, rest }));
}

/** An empty path is `/`, which many libraries write by themselves. */
function withPath(uri: string): string {
  return uri.replace(/^(https?:\/\/[^/?]+)(?=$|\?)/, '$1/');
}

function isSame(one: { host: string; rest: string }, other: { host: string; rest: string }): boolean {
  return one.host === other.host && one.rest === other.rest;
}

/** The parts of a loopback URI, by its text: a parsed URL hides the port 80. */
function partsOf(uri: string): { host: string; port: string | null; rest: string } {
  const [, host, port, rest] = LOOPBACK.exec(uri)!;
  return { host: host!, port: port?.slice(1) ?? null, rest: rest === undefined || rest === '/' ? '' : rest };
}

function isLoopback(uri: string): boolean {
  return LOOPBACK.test(uri);
}

function hasPort(uri: string): boolean {
  return partsOf(uri).port !== null;
}

/** Whether the scheme is the client's host in reverse, or begins with it. */
function isOwnScheme(uri: string, clientHost: string): boolean {
  const [scheme = ''] = uri.split(':', 1);
  const own = clientHost.split('.').toReversed().join('.');
  const after = uri.slice(scheme.length + 1);
  return (
    (scheme === own || scheme.startsWith(`${own}.`)) &&
    /^[a-z0-9.+-]+$/.test(scheme) &&
    !after.startsWith('//')
  );
}
