import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { Metrics } from '../../src/metrics/metrics.js';
import { ownerOfTables } from '../support/sources.js';
import { useApp } from '../support/test-app.js';

const PAGE = new URL('../../docs/retention.md', import.meta.url);
const COLUMNS = ['Table', 'What it holds', 'Kept until', 'Variable', '`what`'];

/** The rows of the table of tables, each by its columns. */
async function rows(): Promise<string[][]> {
  const lines = (await readFile(PAGE, 'utf8')).split('\n');
  const heading = lines.indexOf(`| ${COLUMNS.join(' | ')} |`);
  expect(heading).toBeGreaterThan(0);
  const below = lines.slice(heading + 2);
  const end = below.findIndex((line) => !line.startsWith('|'));
  const cells = below.slice(0, end).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
  for (const row of cells) expect(row).toHaveLength(COLUMNS.length);
  return cells;
}

/** The names in a column that are set as code, in their order. */
async function namesIn(column: number): Promise<string[]> {
  const cells = (await rows()).map((row) => row[column]!);
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!)).toSorted();
}

describe('docs/retention.md', () => {
  const app = useApp({ variables: { METRICS_PORT: '0' } });

  it('has every table once, and no other', async () => {
    expect(await namesIn(0)).toEqual([...(await ownerOfTables()).keys()].toSorted());
  });

  it('has every kind of row that housekeeping counts, and no other', async () => {
    const metrics = await app().nest.get(Metrics).text();
    const counted = [...metrics.matchAll(/^session_housekeeping_rows_removed_total\{what="(\w+)"\}/gm)];
    expect(await namesIn(4)).toEqual(counted.map(([, what]) => what!).toSorted());
  });

  it('has variables with their defaults, as the configuration has them', async () => {
    const known = await readFile(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
    const told = (await rows()).flatMap((row) => [...row[3]!.matchAll(/`(\w+)`, (\w+)/g)]);
    expect(told.length).toBeGreaterThan(5);
    for (const [, name, byDefault] of told) expect(known).toContain(`\n| \`${name}\` | \`${byDefault}\` |`);
  });
});
