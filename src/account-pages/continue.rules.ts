/** Where a browser may go on after signing in; anything else would let strangers choose the page. */
const ALLOWED = /^\/(?:oauth2\/auth|account(?:\/link)?)(?:\?[\x21-\x7E]*)?$/;

/** The path that a form or a link names to go on with; the overview for any other text. */
export function continueOf(wanted: string | null): string {
  return wanted !== null && ALLOWED.test(wanted) && !wanted.includes('\\') ? wanted : '/account';
}
