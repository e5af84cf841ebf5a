import type { QueryRunner } from 'typeorm';

/** A row, by column, as text, which loses nothing. */
export type Row = Readonly<Record<string, string | null>>;
/** All rows of all tables, each table in an order of its own. */
export type Contents = ReadonlyMap<string, readonly Row[]>;

interface Column {
  readonly table: string;
  readonly name: string;
  readonly type: string;
  readonly isRequired: boolean;
}

interface ForeignKey {
  readonly table: string;
  readonly columns: readonly string[];
  readonly target: string;
  readonly targetColumns: readonly string[];
}

const BOOKKEEPING = 'schema_migrations';
const COLUMNS = `
  SELECT c.relname AS table, a.attname AS name, format_type(a.atttypid, NULL) AS type, a.attnotnull AS "isRequired"
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> '${BOOKKEEPING}'
  ORDER BY c.relname, a.attname`;
const names = (attributes: string, table: string) => `
  ARRAY(SELECT a.attname::text FROM unnest(k.${attributes}) WITH ORDINALITY AS key (attnum, nth)
    JOIN pg_attribute a ON a.attrelid = k.${table} AND a.attnum = key.attnum ORDER BY key.nth)`;
const FOREIGN_KEYS = `
  SELECT k.conrelid::regclass::text AS table, ${names('conkey', 'conrelid')} AS columns,
    k.confrelid::regclass::text AS target, ${names('confkey', 'confrelid')} AS "targetColumns"
  FROM pg_constraint k WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace ORDER BY k.conname`;

/** A value of a type, another one for each `nth`. Times have microseconds, which a conversion would lose. */
const VALUES: Readonly<Record<string, (column: string, nth: number) => string>> = {
  text: (column, nth) => `'${column} ${nth}'`,
  'text[]': (column, nth) => `ARRAY['${column} ${nth}', '${column} of ${nth}']`,
  'character varying': (column, nth) => `'${column} ${nth}'`,
  bytea: (column, nth) => `decode(md5('${column} ${nth}'), 'hex')`,
  'bytea[]': (column, nth) => `ARRAY[decode(md5('${column} ${nth}'), 'hex')]`,
  jsonb: (column, nth) => `'{"${column}": [${nth}, null, "ä"]}'`,
  boolean: (_, nth) => String(nth % 2 === 0),
  integer: (_, nth) => String(nth),
  bigint: (_, nth) => String(9_007_199_254_740_993n + BigInt(nth)),
  'timestamp with time zone': (_, nth) => `'2026-01-0${nth} 01:02:03.123456Z'`,
  'timestamp with time zone[]': (_, nth) => `ARRAY['2026-01-0${nth} 01:02:03.123456Z'::timestamptz]`,
};

/** How many rows each table gets: one has all columns, one only what is required. */
const ROWS = [1, 2] as const;

/**
 * Inserts rows into tables, as the catalogue describes it: of the right types, with and without
 * values where none is required, and referring to the rows of the same number where there is a foreign key.
 */
export async function fillTables(runner: QueryRunner, isMeant: (table: string) => boolean): Promise<void> {
  const columns = (await runner.query(COLUMNS)) as Column[];
  const foreignKeys = (await runner.query(FOREIGN_KEYS)) as ForeignKey[];
  const tables = inOrder([...new Set(columns.map(({ table }) => table))], foreignKeys);
  for (const table of tables.filter(isMeant)) {
    const own = columns.filter((column) => column.table === table);
    for (const nth of ROWS) {
      const filled = own.filter(({ isRequired }) => isRequired || nth === 1);
      const values = filled.map(({ name, type }) => {
        const make = VALUES[type];
        if (make === undefined) throw new Error(`No value is known for ${table}.${name}, which is ${type}`);
        return make(origin(table, name, foreignKeys), nth);
      });
      await runner.query(
        `INSERT INTO ${table} (${filled.map(({ name }) => name).join(', ')}) VALUES (${values.join(', ')})`,
      );
    }
  }
}

/** The column that a foreign key takes the values of a column from, so that both have the same. */
function origin(table: string, column: string, foreignKeys: readonly ForeignKey[]): string {
  for (const { columns, target, targetColumns, table: from } of foreignKeys) {
    const at = from === table ? columns.indexOf(column) : -1;
    if (at !== -1) return origin(target, targetColumns[at]!, foreignKeys);
  }
  return column;
}

/** Tables after those that they refer to. */
function inOrder(tables: readonly string[], foreignKeys: readonly ForeignKey[]): string[] {
  const done: string[] = [];
  while (done.length < tables.length) {
    const next = tables.find(
      (table) =>
        !done.includes(table) &&
        foreignKeys.every((key) => key.table !== table || key.target === table || done.includes(key.target)),
    );
    if (next === undefined) throw new Error('Tables refer to each other in a circle');
    done.push(next);
  }
  return done;
}

/** Everything that is stored, in a form that loses nothing. */
export async function contents(runner: QueryRunner): Promise<Contents> {
  const tables = new Set(((await runner.query(COLUMNS)) as Column[]).map(({ table }) => table));
  const all = new Map<string, readonly Row[]>();
  for (const table of tables) {
    const rows = (await runner.query(
      `SELECT (SELECT jsonb_object_agg(key, value) FROM jsonb_each_text(to_jsonb(t))) AS row FROM ${table} t ORDER BY to_jsonb(t)::text`,
    )) as { row: Row }[];
    all.set(
      table,
      rows.map(({ row }) => row),
    );
  }
  return all;
}

/** Columns, constraints and indexes of all tables. */
export async function structure(runner: QueryRunner): Promise<readonly string[]> {
  const rows = (await runner.query(`
    SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
      || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
      || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') AS line
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
    UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
      WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    ORDER BY 1`)) as { line: string }[];
  return rows.map(({ line }) => line);
}
