import type { Context } from './context.js';
import { asQuery } from './arguments.js';
import type { Columns } from './terminal.js';

/** Options of every command that lists something. */
export interface ListOptions {
  readonly all?: boolean;
}

interface Listing<Row> {
  /** The list in an answer: `users`. */
  readonly key: string;
  readonly columns: Columns<Row>;
  readonly none: string;
}

/**
 * Prints a page of a list, or with `all` every page. For scripts, each page is one line of JSON.
 * @param page answers like the endpoint for administrators
 */
export async function printList<Row>(
  { terminal }: Context,
  { all = false, ...options }: ListOptions,
  page: (query: Record<string, string>) => Promise<object>,
  { key, columns, none }: Listing<Row>,
): Promise<void> {
  const query = asQuery(options);
  let next: string | undefined;
  let isEmpty = true;
  do {
    const answer = (await page({ ...query, ...(next === undefined ? {} : { from: next }) })) as Record<
      string,
      unknown
    >;
    const rows = answer[key] as readonly Row[];
    next = answer['next_batch'] as string | undefined;
    const isLast = !all || next === undefined;
    // A page may be empty although the list goes on.
    if (terminal.json || rows.length > 0 || (isLast && isEmpty))
      await terminal.answer(answer, () => terminal.table(rows, columns, none));
    isEmpty &&= rows.length === 0;
  } while (all && next !== undefined);
  if (next !== undefined && !terminal.json) terminal.hint(`There are more: --from ${next}, or --all`);
}
