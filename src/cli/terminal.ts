import { createInterface } from 'node:readline/promises';
import { styleText } from 'node:util';

/** What a table shows. */
export type Cell = string | number | boolean | null | undefined;

/** What a command prints for each row of a table. */
export type Columns<Row> = readonly (readonly [title: string, value: (row: Row) => Cell])[];

type Style = Parameters<typeof styleText>[0];

interface Input extends NodeJS.ReadableStream {
  readonly isTTY?: boolean;
}
interface Output extends NodeJS.WritableStream {
  readonly isTTY?: boolean;
}

/** The streams of a process. */
export interface Streams {
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
}

export interface TerminalOptions {
  /** Whether answers are printed as JSON. */
  readonly json: boolean;
  /** Whether every question is answered with yes. */
  readonly yes: boolean;
  /** Whether a person may be shown colours. */
  readonly colors: boolean;
}

/** Where a command reads and writes: tables and colours for people, JSON for scripts. */
export class Terminal {
  constructor(
    private readonly options: TerminalOptions,
    private readonly streams: Streams = process,
  ) {}

  get json(): boolean {
    return this.options.json;
  }

  /** Whether a person sees how far work is. */
  get isInteractive(): boolean {
    return this.streams.stderr.isTTY === true;
  }

  /** Colours a text, if it is shown on a terminal. */
  paint(style: Style, text: string): string {
    const isColored = this.options.colors && this.streams.stdout.isTTY === true && !this.json;
    return isColored ? styleText(style, text, { validateStream: false }) : text;
  }

  /** Prints an answer: as one line of JSON for scripts, and in words for people. */
  answer(data: object, words: () => string | Promise<string>): void | Promise<void> {
    if (this.json) return this.print(JSON.stringify(data));
    const said = words();
    return typeof said === 'string' ? this.print(said) : said.then((text) => this.print(text));
  }

  /** Prints something that is no answer, such as a hint. */
  hint(words: string): void {
    this.streams.stderr.write(`${words}\n`);
  }

  /** A table, or a sentence if it has no rows. */
  async table<Row>(rows: readonly Row[], columns: Columns<Row>, none: string): Promise<string> {
    if (rows.length === 0) return none;
    const { default: Table } = await import('cli-table3');
    const table = new Table({
      head: columns.map(([title]) => this.paint('bold', title)),
      style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 2 },
      chars: WITHOUT_LINES,
    });
    for (const row of rows) table.push(columns.map(([, value]) => cellOf(value(row))));
    return table
      .toString()
      .split('\n')
      .map((line) => line.trimEnd())
      .join('\n');
  }

  /** The names and values of one thing. */
  facts(facts: Readonly<Record<string, Cell>>): string {
    const width = Math.max(...Object.keys(facts).map(({ length }) => length));
    return Object.entries(facts)
      .map(([name, value]) => `${this.paint('bold', name.padEnd(width))}  ${cellOf(value)}`)
      .join('\n');
  }

  /**
   * Asks whether to go on.
   * @throws {NotConfirmed} if the answer is no, or nobody is there to answer
   */
  async confirm(question: string): Promise<void> {
    if (this.options.yes) return;
    const { stdin, stderr } = this.streams;
    if (stdin.isTTY !== true)
      throw new NotConfirmed(`${question} Nobody is there to answer: repeat the command with --yes`);
    const lines = createInterface({ input: stdin, output: stderr });
    try {
      const answer = await lines.question(`${question} [y/N] `);
      if (!/^y(es)?$/i.test(answer.trim())) throw new NotConfirmed('Nothing was done');
    } finally {
      lines.close();
    }
  }

  /**
   * Does long work, and shows how far it is: by a bar on a terminal, and not at all elsewhere.
   * @param work gets a function that takes how much is done
   */
  async progress<Result>(
    total: number,
    what: string,
    work: (show: (done: number) => void) => Promise<Result>,
  ): Promise<Result> {
    if (!this.isInteractive) return work(() => {});
    const { SingleBar } = await import('cli-progress');
    const bar = new SingleBar({
      format: `{bar} {percentage}% | {value} of {total} ${what} | {eta_formatted} left`,
      stream: this.streams.stderr,
      hideCursor: true,
    });
    bar.start(total, 0);
    try {
      return await work((done) => bar.update(done));
    } finally {
      // It also hides the cursor, which must come back.
      bar.stop();
    }
  }

  private print(text: string): void {
    this.streams.stdout.write(`${text}\n`);
  }
}

/** Somebody said no. */
export class NotConfirmed extends Error {}

const WITHOUT_LINES = Object.fromEntries(
  ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right', 'left']
    .concat(['left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'])
    .map((name) => [name, '']),
);

function cellOf(value: Cell): string {
  if (value === null || value === undefined || value === '') return '-';
  if (value === true) return 'yes';
  if (value === false) return 'no';
  // Names and user agents come from clients, and may hold what a terminal would obey.
  return String(value).replaceAll(/\p{Cc}/gu, '\uFFFD');
}

/** A time as people read it; `null` stays. */
export function timeOf(ms: number | null | undefined): string | null {
  return ms === null || ms === undefined ? null : new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}
