/** How many rows one statement looks at, at most. */
export const WINDOW = 5_000;
const SHORTEST = 500;
const FEW_TIMES = 5;

/**
 * How many rows the nth statement of a page looks at: most pages are full after the first one, which need not read more
 * than that. If the conditions are rare, the next ones read as much as they may.
 */
export function windowOf(limit: number, nth: number): number {
  return nth > 0 ? WINDOW : Math.min(WINDOW, Math.max(SHORTEST, FEW_TIMES * limit));
}
