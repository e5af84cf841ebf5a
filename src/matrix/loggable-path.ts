/** What follows these is a secret: with a registration token, anybody could register. */
const SECRET_IN_PATH = /(\/registration_tokens\/)[^?]+/;

/** A path without what must not be logged, for requests that no route has handled. */
export function loggablePath(path: string): string {
  return path.replace(SECRET_IN_PATH, '$1…');
}
