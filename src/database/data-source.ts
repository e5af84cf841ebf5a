import type { Duplex } from 'node:stream';
import { Client, type ClientConfig } from 'pg';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { EnvironmentError } from '../config/environment.js';
import { type MigrationClass, migrations as ownMigrations } from './own-migrations.js';
import { requireOwnConnections } from './pooler.js';
import { migrateSchema, requireCurrentSchema } from './schema.js';

/** How to reach PostgreSQL: a URL, or the socket directory of the embedded one. */
export type DatabaseLocation =
  | { readonly url: string }
  | { readonly host: string; readonly port: number; readonly username: string; readonly database: string };

/** What the types of `pg` leave out. */
interface Connected {
  readonly connection: { readonly stream: Duplex };
}

/** A connection with the behaviour that the service needs. */
class ServiceClient extends Client {
  private isGathering = false;

  /** A failover must take one second, not the minutes of a TCP time-out. */
  constructor(config: ClientConfig) {
    super({ ...config, connectionTimeoutMillis: 1_000 });
    // Between the pool's listener and the borrower's, there is a moment without any, in which an error would end the
    // process. The next user of the connection still learns of it, from a failed statement.
    this.on('error', () => {});
  }

  /**
   * Sends the statements of one turn of the event loop in one write, instead of a system call and a packet for each.
   */
  override query(...args: never[]): never {
    if (!this.isGathering) {
      const { stream } = (this as unknown as Connected).connection;
      this.isGathering = true;
      stream.cork();
      process.nextTick(() => {
        this.isGathering = false;
        stream.uncork();
      });
    }
    return (super.query as unknown as (...args: never[]) => never).apply(this, args);
  }
}

/**
 * Settings of every connection. Without a generic plan, a statement with array parameters is planned again at each
 * call. Plans are kept for long, and one that was made while a table was small must not scan all of it when it has
 * grown, so statements use indexes from the first row on.
 */
export const SETTINGS = { plan_cache_mode: 'force_generic_plan', jit: 'off', enable_seqscan: 'off' };

/**
 * Applies settings to a new connection by statements, because poolers refuse or drop the parameters of a connection.
 */
function settingUp(
  settings: Readonly<Record<string, string | number>>,
): (client: Client) => Promise<unknown> {
  const statements = Object.entries(settings).map(([name, value]) => `SET ${name} = '${value}'`);
  return (client) =>
    client.query(statements.join('; ')).catch((error: Error & { code?: string }) => {
      // Unknown, of the wrong value, or not to be changed for a connection.
      const isRefused = ['42704', '22023', '55P02', '42501'].includes(error.code ?? '');
      throw isRefused
        ? new EnvironmentError([`DATABASE_SETTINGS was refused by PostgreSQL: ${error.message}`])
        : error;
    });
}

/** The database to use, and migrations for tables besides the service's own. */
export class DatabaseSetup {
  constructor(
    readonly location: DatabaseLocation,
    readonly migrations: readonly MigrationClass[],
  ) {}
}

/** Options that differ between callers. */
export interface ConnectionOptions {
  /** After this time PostgreSQL cancels a statement, and so releases its locks; 0: never. */
  readonly statementTimeoutMs?: number;
  /** Migrations besides the service's own. */
  readonly extensions?: readonly MigrationClass[];
  /** Settings of PostgreSQL that replace {@link SETTINGS}, or come in addition. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** What TypeORM hands to `pg`, and the settings, which the connection that migrates needs, too. */
interface ConnectionExtra {
  readonly settings: Readonly<Record<string, string>>;
  readonly [option: string]: unknown;
}

export function dataSourceOptions(
  location: DatabaseLocation,
  poolSize: number,
  { statementTimeoutMs = 0, extensions = [], settings = {} }: ConnectionOptions = {},
): DataSourceOptions & { type: 'postgres' } {
  return {
    type: 'postgres',
    ...location,
    applicationName: 'matrix-session-service',
    poolSize,
    installExtensions: false,
    synchronize: false,
    migrations: [...ownMigrations, ...extensions],
    migrationsTableName: 'schema_migrations',
    migrationsTransactionMode: 'all',
    logging: false,
    extra: {
      // How long a request may wait for a connection of the pool, not how long it takes to open one.
      connectionTimeoutMillis: 10_000,
      Client: ServiceClient,
      // A server that hangs does not cancel statements itself.
      query_timeout: statementTimeoutMs === 0 ? 30_000 : statementTimeoutMs + 1_000,
      // Statements that are issued without awaiting each other are sent together.
      pipeline: true,
      onConnect: settingUp({ ...SETTINGS, statement_timeout: statementTimeoutMs, ...settings }),
      settings,
    } satisfies ConnectionExtra,
  };
}

/**
 * Connects and brings the schema up to date.
 * @param isMigrating otherwise the schema must be up to date
 * @throws {EnvironmentError} if the database is behind a pooler in transaction mode, or refuses a setting; if the
 *   schema belongs to a newer version, or to an older one that may not be migrated
 */
export async function openDataSource(options: DataSourceOptions, isMigrating = true): Promise<DataSource> {
  const { url } = options as { url?: string };
  if (url !== undefined) await requireOwnConnections(url);
  if (isMigrating) await withPatience(options, migrateSchema);
  const dataSource = await new DataSource(options).initialize();
  if (isMigrating) return dataSource;
  try {
    await requireCurrentSchema(dataSource);
    return dataSource;
  } catch (error) {
    await dataSource.destroy();
    throw error;
  }
}

/** Does something to the schema, on connections of its own whose statements have no time-out. */
export async function withPatience<Result>(
  options: DataSourceOptions,
  work: (dataSource: DataSource) => Promise<Result>,
): Promise<Result> {
  const own = options.extra as ConnectionExtra;
  const extra = {
    ...own,
    query_timeout: 0,
    onConnect: settingUp({ ...SETTINGS, ...own.settings }),
  };
  const patient = { ...options, extra } as DataSourceOptions;
  const dataSource = await new DataSource(patient).initialize();
  try {
    return await work(dataSource);
  } finally {
    await dataSource.destroy();
  }
}
