import { ReconcilerController } from '../../reconciler/reconciler.controller.js';
import type { Finding } from '../../reconciler/finding.js';
import type { Context } from '../context.js';
import { type Columns } from '../terminal.js';

const COLUMNS: Columns<Finding> = [
  ['Problem', ({ problem }) => problem],
  ['Found', ({ found }) => found],
  ['Repaired', ({ repaired }) => repaired],
  ['Examples', ({ examples }) => examples.slice(0, 2).join(', ')],
];

/** Looks for inconsistent rows, and repairs them if asked to. Returns 1 if something is left to repair. */
export function reconcile(context: Context, { repair = false }: { repair?: boolean }): Promise<number> {
  return context.withService(
    async (service) => {
      const { terminal } = context;
      const answer = await service.get(ReconcilerController).reconcile(repair ? 'false' : 'true');
      const { findings } = answer as { findings: Finding[] };
      await terminal.answer(answer, () => terminal.table(findings, COLUMNS, 'Every row is consistent.'));
      return findings.every(({ found, repaired }) => found === repaired) ? 0 : 1;
    },
    { changes: repair },
  );
}
