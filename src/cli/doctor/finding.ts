/** How bad a finding is: `fail` must be mended, `warn` should be looked at. */
export type Severity = 'ok' | 'warn' | 'fail';

/** What one check found. */
export interface Finding {
  readonly severity: Severity;
  readonly what: string;
  /** What to do; `null` if nothing. */
  readonly advice: string | null;
}

export const ok = (what: string): Finding => ({ severity: 'ok', what, advice: null });
export const warn = (what: string, advice: string): Finding => ({ severity: 'warn', what, advice });
export const fail = (what: string, advice: string): Finding => ({ severity: 'fail', what, advice });

/** `one` if a condition holds, `other` otherwise. */
export const either = (holds: boolean, one: Finding, other: Finding): Finding => (holds ? one : other);
