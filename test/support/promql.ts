/** A comparison of a label in a selector. */
export interface Matcher {
  readonly label: string;
  readonly operator: string;
  readonly value: string;
}

/** What an expression takes from Prometheus: `name{label="value"}`. */
export interface Selector {
  readonly metric: string;
  readonly matchers: readonly Matcher[];
}

export interface Query {
  readonly selectors: readonly Selector[];
  /** The labels of each `by (…)`, with the metrics that it sums up. */
  readonly groupings: readonly { readonly labels: readonly string[]; readonly metrics: readonly string[] }[];
  /** The labels of each `on (…)`. */
  readonly matchings: readonly (readonly string[])[];
}

const STRING = /"(?:[^"\\]|\\.)*"/g;
const MATCHER = /([a-z_]\w*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"/gi;
/** Braces in strings do not count, so the strings are blanked before. */
const SELECTOR = /(?<![\w.])([a-z_:][\w:]*)(\s*\{[^}]*\})?(?!\w|\s*\()/gi;
const OPERATORS = new Set(['and', 'or', 'unless', 'bool', 'offset', 'inf', 'nan']);
const CLAUSE = /\b(by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)/g;

/**
 * Reads as much of PromQL as is used here. It finds names and labels; promtool checks the grammar.
 * @throws {Error} for a clause that it does not understand
 */
export function readQuery(text: string): Query {
  // The same length, so that places in one are places in the other.
  const plain = text
    .replace(STRING, (string) => `"${' '.repeat(string.length - 2)}"`)
    .replace(/\[[^\]]*\]/g, (range) => ' '.repeat(range.length));
  const clauses = [...plain.matchAll(CLAUSE)].map((clause) => ({
    kind: clause[1]!,
    labels: clause[2]!.split(',').flatMap((label) => label.trim() || []),
    end: clause.index + clause[0].length,
  }));
  const without = clauses.find(({ kind }) => ['without', 'ignoring'].includes(kind));
  if (without !== undefined) throw new Error(`Name the labels that stay, instead of: ${without.kind}`);
  return {
    selectors: selectorsOf(text, plain),
    groupings: clauses
      .filter(({ kind }) => kind === 'by')
      .map(({ labels, end }) => {
        const [from, to] = parentheses(plain, end);
        const inside = selectorsOf(text.slice(from, to), plain.slice(from, to));
        return { labels, metrics: inside.map(({ metric }) => metric) };
      }),
    matchings: clauses.filter(({ kind }) => kind === 'on').map(({ labels }) => labels),
  };
}

function selectorsOf(text: string, plain: string): Selector[] {
  const bare = plain.replace(CLAUSE, (clause) => ' '.repeat(clause.length));
  return [...bare.matchAll(SELECTOR)]
    .filter(([, name]) => !OPERATORS.has(name!.toLowerCase()))
    .map((found) => ({
      metric: found[1]!,
      matchers: [...text.slice(found.index, found.index + found[0].length).matchAll(MATCHER)].map(
        ([, label, operator, value]) => ({ label: label!, operator: operator!, value: value! }),
      ),
    }));
}

/** The parentheses after `by (…)`. */
function parentheses(plain: string, after: number): [from: number, to: number] {
  const from = plain.indexOf('(', after);
  if (from < 0 || plain.slice(after, from).trim() !== '')
    throw new Error(`by (…) stands before what it sums up: ${plain}`);
  let depth = 0;
  for (let at = from; at < plain.length; at += 1) {
    if (plain[at] === '(') depth += 1;
    if (plain[at] === ')') depth -= 1;
    if (depth === 0) return [from, at];
  }
  throw new Error(`A parenthesis is open: ${plain}`);
}

/** The labels that a query's result has, or `null` if it keeps those of its first metric. */
export function resultLabels({ groupings, matchings }: Query): readonly string[] | null {
  return groupings[0]?.labels ?? matchings[0] ?? null;
}
