/**
 * The stacks of an error and its causes, for the log. Leaves out other properties of errors, because they may contain
 * the values of statements.
 */
export function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\nCaused by: ${stackOf(error.cause)}`;
  return `${error.stack}${cause}`;
}
