/** How long the suite attacks: `short` in CI, `full` before a release, `soak` for the hour that shows leaks. */
export type Form = 'short' | 'full' | 'soak';

const FORMS: readonly Form[] = ['short', 'full', 'soak'];

export const form: Form = FORMS.find((one) => one === process.env['FAULTS']) ?? 'full';

/** How often something is tried. */
export function trials(full: number, short: number): number {
  return form === 'short' ? short : full;
}
