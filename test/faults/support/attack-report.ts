import { readFile, writeFile } from 'node:fs/promises';
import type { Reporter, TestModule } from 'vitest/node';
import type { Outcome } from './attack.js';
import { form } from './form.js';

const DOCUMENT = new URL('../../../docs/reliability.md', import.meta.url);
const [BEGIN, END] = [
  '<!-- results: written by RECORD=yes npm run test:faults -->',
  '<!-- end of results -->',
];

/** Prints what each attack came to. With `RECORD=yes`, docs/reliability.md keeps it. */
export default class AttackReport implements Reporter {
  async onTestRunEnd(modules: readonly TestModule[]): Promise<void> {
    const tests = modules.flatMap((one) => [...one.children.allTests()]);
    const rows = tests.flatMap((test) => {
      const { attack } = test.meta();
      return attack === undefined ? [] : [rowOf(test.fullName.replace(' > ', ' '), attack)];
    });
    if (rows.length === 0) return;
    const table = [
      '| Attack | Trials | Violations | Worst answer | Memory | |',
      '|---|---|---|---|---|---|',
      ...rows,
    ];
    console.log(`\n${table.join('\n')}\n`);
    const isWhole = tests.every((test) => test.result().state === 'passed');
    if (process.env['RECORD'] === 'yes' && isWhole) await keep(table);
  }
}

function rowOf(name: string, { trials, of, violations, worstMs, memoryMb, note }: Outcome): string {
  const cells = [
    name,
    `${trials.toLocaleString('en')} ${of}`,
    violations.length,
    worstMs === undefined ? '' : `${(worstMs / 1_000).toFixed(2)} s`,
    memoryMb === undefined ? '' : `${memoryMb.toFixed(0)} MB`,
    note ?? '',
  ];
  return `| ${cells.join(' | ')} |`;
}

async function keep(table: readonly string[]): Promise<void> {
  const text = await readFile(DOCUMENT, 'utf8');
  const [before, rest] = text.split(BEGIN);
  const [, after] = rest!.split(END);
  const command = `\`FAULTS=${form} npm run test:faults\`, Node ${process.versions.node}:`;
  await writeFile(DOCUMENT, `${before}${BEGIN}\n\n${command}\n\n${table.join('\n')}\n\n${END}${after}`);
}
