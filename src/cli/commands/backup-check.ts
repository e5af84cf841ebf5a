import { DataSource } from 'typeorm';
import { ReconcilerController } from '../../reconciler/reconciler.controller.js';
import type { Finding } from '../../reconciler/finding.js';
import type { Context } from '../context.js';

/** What a restored database is. */
interface Check {
  /** How many rows each table has. */
  readonly rows: Readonly<Record<string, number>>;
  /** Statements that would make what the schema lacks. */
  readonly missing: readonly string[];
  /** Constraints and indexes that PostgreSQL does not trust. */
  readonly invalid: readonly string[];
  readonly findings: readonly Finding[];
}

const INVALID = `
  SELECT conname AS name FROM pg_constraint
    WHERE NOT convalidated AND connamespace = current_schema()::regnamespace
  UNION ALL
  SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE NOT indisvalid AND relnamespace = current_schema()::regnamespace`;

/** Checks that a restored database is whole. Changes nothing. Returns 1 if something is wrong. */
export function checkBackup(context: Context): Promise<number> {
  return context.withService(async (service) => {
    const { terminal } = context;
    const check = await look(service.get(DataSource), async () => {
      const { findings } = (await service.get(ReconcilerController).reconcile('true')) as {
        findings: Finding[];
      };
      return findings;
    });
    await terminal.answer(check, () => wordsOf(context, check));
    return [check.missing, check.invalid, check.findings].every(({ length }) => length === 0) ? 0 : 1;
  });
}

async function look(dataSource: DataSource, reconcile: () => Promise<Finding[]>): Promise<Check> {
  const rows: Record<string, number> = {};
  for (const { tableName } of dataSource.entityMetadatas) {
    const [{ count }] = (await dataSource.query(`SELECT count(*) FROM ${tableName}`)) as [{ count: string }];
    rows[tableName] = Number(count);
  }
  const { upQueries } = await dataSource.driver.createSchemaBuilder().log();
  const invalid = (await dataSource.query(INVALID)) as { name: string }[];
  return {
    rows,
    missing: upQueries.map(({ query }) => query),
    invalid: invalid.map(({ name }) => name),
    findings: await reconcile(),
  };
}

async function wordsOf({ terminal }: Context, { rows, missing, invalid, findings }: Check): Promise<string> {
  const bad = [
    ...missing.map((statement) => `The schema lacks something: ${statement}`),
    ...invalid.map((name) => `${name} is not valid: ALTER TABLE … VALIDATE CONSTRAINT, or REINDEX`),
    ...findings.map(({ problem, found, examples }) => `${problem}: ${found} found, such as ${examples[0]}`),
  ];
  return [
    await terminal.table(
      Object.entries(rows),
      [
        ['Table', ([table]) => table],
        ['Rows', ([, count]) => count],
      ],
      '',
    ),
    '',
    ...bad.map((line) => terminal.paint('red', line)),
    bad.length === 0
      ? terminal.paint('green', 'The database is whole.')
      : 'docs/backup.md says how a damaged backup is repaired.',
    'What had ended since the backup was made lives again: matrix-session sessions end-stale --before <when you restored>',
  ].join('\n');
}
