/**
 * What went wrong and what caused it, for the log. Other properties of errors stay out: they hold the values that
 * statements carried.
 */
export function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\nCaused by: ${stackOf(error.cause)}`;
  return `${error.stack}${cause}`;
}
