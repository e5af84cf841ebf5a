import * as z from 'zod';

const MILLISECONDS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

const DAY_MS = 24 * 60 * 60 * 1_000;
const TEN_YEARS_MS = 10 * 365 * DAY_MS;
/** A Node timer holds a delay of 31 bits and would fire at once for a longer one. */
const LONGEST_TIMER_MS = 24 * DAY_MS;

/** A variable such as `90s`. */
export function duration({
  min = 0,
  max = TEN_YEARS_MS,
  bounds = 'at most ten years',
  examples = '90s, 5m or 1h',
} = {}) {
  const error = `a duration such as ${examples}, ${bounds}`;
  return z
    .string()
    .regex(/^[1-9]\d{0,8}(ms|s|m|h|d)$/, error)
    .refine((text) => milliseconds(text) >= min && milliseconds(text) <= max, error);
}

/** A duration that is used as a timer's delay. */
export function interval() {
  return duration({ max: LONGEST_TIMER_MS, bounds: 'at most 24 days' });
}

export function milliseconds(text: string): number {
  const unit = text.replace(/\d+/, '') as keyof typeof MILLISECONDS;
  return Number.parseInt(text, 10) * MILLISECONDS[unit];
}
