import { Client, type ClientConfig } from 'pg';
import type { DataSourceOptions } from 'typeorm';
import type { Environment } from '../../config/environment.js';
import { type DatabaseLocation, withPatience } from '../../database/data-source.js';
import { requireOwnConnections } from '../../database/pooler.js';
import { schemaState } from '../../database/schema.js';
import { reasonOf } from '../start-failure.js';
import { either, fail, type Finding, ok, warn } from './finding.js';

const OLDEST = 150_000;
/** Times of the two clocks may differ by this much before something goes wrong, and before it is bad. */
const SKEW_MS = { warn: 1_000, fail: 30_000 };
/** What other programs and a person in psql need. */
const SPARE_CONNECTIONS = 3;

const FACTS = `
  SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
    current_setting('fsync') AS fsync, current_setting('full_page_writes') AS "fullPageWrites",
    current_setting('synchronous_commit') AS "synchronousCommit", current_setting('server_encoding') AS encoding,
    current_setting('max_connections')::int AS "maxConnections", pg_is_in_recovery() AS "isStandby",
    extract(epoch FROM clock_timestamp())::float8 * 1000 AS now,
    has_schema_privilege(current_schema(), 'CREATE') AS "mayCreate", current_user AS role,
    ARRAY(SELECT relname::text FROM pg_class
      WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
        AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
          AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
        AND relname <> 'schema_migrations') AS closed`;

interface Facts {
  readonly version: string;
  readonly number: number;
  readonly fsync: string;
  readonly fullPageWrites: string;
  readonly synchronousCommit: string;
  readonly encoding: string;
  readonly maxConnections: number;
  readonly isStandby: boolean;
  readonly now: number;
  readonly mayCreate: boolean;
  readonly role: string;
  readonly closed: readonly string[];
}

/** Asks PostgreSQL what it is and what it allows. */
export async function checkDatabase(
  environment: Environment,
  location: DatabaseLocation,
  options: DataSourceOptions,
): Promise<Finding[]> {
  const client = new Client(configOf(location));
  client.on('error', () => {});
  try {
    await client.connect();
    const begun = Date.now();
    const facts = (await client.query<Facts>(FACTS)).rows[0]!;
    const tookMs = Date.now() - begun;
    return [
      ...checkFacts(environment, facts, facts.now - (begun + tookMs / 2)),
      ...(await checkPooler(location)),
      ...(await checkSchema(environment, options)),
    ];
  } catch (error) {
    return [
      fail(
        reasonOf(error, 'PostgreSQL cannot be used'),
        'Check DATABASE_URL, that the server runs, and that pg_hba.conf lets this user in from here.',
      ),
    ];
  } finally {
    await client.end().catch(() => {});
  }
}

function checkFacts(environment: Environment, facts: Facts, skewMs: number): Finding[] {
  const { version, number, fsync, fullPageWrites, synchronousCommit, encoding, isStandby } = facts;
  return [
    either(
      number >= OLDEST,
      ok(`PostgreSQL ${version} answers`),
      fail(`PostgreSQL is ${version}`, 'Version 15 is the oldest that is supported.'),
    ),
    ...(isStandby
      ? [fail('This PostgreSQL is a standby, which is read only', 'Name the primary in DATABASE_URL.')]
      : []),
    either(
      fsync === 'on' && fullPageWrites === 'on',
      ok('Commits survive a crash of the machine (fsync, full_page_writes)'),
      fail(
        `fsync is ${fsync} and full_page_writes is ${fullPageWrites}`,
        'Set both to on: after a crash of the machine, sessions that had ended may live again.',
      ),
    ),
    either(
      !['off', 'local'].includes(synchronousCommit),
      ok(`A commit is on disk when it is answered (synchronous_commit = ${synchronousCommit})`),
      warn(
        `synchronous_commit is ${synchronousCommit}`,
        'Set it to on, or remote_apply with a standby: a logout that was answered could be lost.',
      ),
    ),
    ...(encoding === 'UTF8'
      ? []
      : [fail(`The encoding of the database is ${encoding}`, 'Create it with ENCODING UTF8.')]),
    checkClock(skewMs),
    checkConnections(environment, facts),
    ...checkPrivileges(environment, facts),
  ];
}

function checkClock(skewMs: number): Finding {
  const skew = `The clocks of this machine and of PostgreSQL differ by ${Math.round(Math.abs(skewMs))} ms`;
  const advice = 'Run NTP on both: lifetimes of tokens and leases are compared across machines.';
  if (Math.abs(skewMs) < SKEW_MS.warn) return ok(skew);
  return Math.abs(skewMs) < SKEW_MS.fail ? warn(skew, advice) : fail(skew, advice);
}

function checkConnections({ databasePoolSize, workers }: Environment, { maxConnections }: Facts): Finding {
  const nodes = Math.floor((maxConnections - SPARE_CONNECTIONS) / databasePoolSize);
  const what = `max_connections = ${maxConnections} is enough for ${nodes} processes of ${databasePoolSize} connections`;
  return either(
    nodes >= workers,
    ok(what),
    fail(
      `${what}, and WORKERS asks for ${workers}`,
      'Raise max_connections, or lower DATABASE_POOL_SIZE or WORKERS.',
    ),
  );
}

function checkPrivileges({ migrate }: Environment, { mayCreate, role, closed }: Facts): Finding[] {
  return [
    either(
      closed.length === 0,
      ok(`The role ${role} may read and write every table`),
      fail(
        `The role ${role} may not read and write ${closed.join(', ')}`,
        `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${role};`,
      ),
    ),
    ...(migrate && !mayCreate
      ? [
          fail(
            `The role ${role} may not change the schema, and MIGRATE is on`,
            'Set MIGRATE=off, and run "matrix-session migrate" as the owner of the tables.',
          ),
        ]
      : []),
  ];
}

async function checkPooler(location: DatabaseLocation): Promise<Finding[]> {
  if (!('url' in location)) return [];
  try {
    await requireOwnConnections(location.url);
    return [ok('Each connection keeps its backend, so prepared statements work')];
  } catch (error) {
    return [fail((error as Error).message, 'docs/operating.md says what a pooler must do.')];
  }
}

async function checkSchema({ migrate }: Environment, options: DataSourceOptions): Promise<Finding[]> {
  const { missing, newer } = await withPatience(options, schemaState);
  if (newer !== null)
    return [fail(`The schema belongs to a newer version: ${newer}`, 'Install that version.')];
  if (missing.length === 0) return [ok('The schema is up to date')];
  const lacks = `The schema lacks ${missing.length} migrations`;
  return [
    migrate
      ? warn(lacks, 'The next start adds them, or "matrix-session migrate".')
      : fail(lacks, 'Run "matrix-session migrate": MIGRATE is off.'),
  ];
}

function configOf(location: DatabaseLocation): ClientConfig {
  const limits = { connectionTimeoutMillis: 5_000, query_timeout: 5_000 };
  if ('url' in location) return { connectionString: location.url, ...limits };
  const { host, port, username: user, database } = location;
  return { host, port, user, database, ...limits };
}
