import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, type ClientConfig } from 'pg';
import { type DatabaseLocation, dataSourceOptions, openDataSource } from '../database/data-source.js';
import { EmbeddedPostgres } from '../database/embedded/embedded-postgres.js';

/** Environment variable that tells forked processes the address of the server. */
const VARIABLE = 'MATRIX_SESSION_SERVICE_TEST_POSTGRES';

/** Tests do not need durable data, but they open many pools. */
const SETTINGS = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  max_connections: '200',
};

/** A database for the caller alone. */
export interface TestDatabase {
  readonly location: DatabaseLocation;
  drop(): Promise<void>;
}

interface Address {
  readonly server: DatabaseLocation;
  /** The migrated database that others are cloned from. */
  readonly template: string;
}

/**
 * A real PostgreSQL for tests: the one at `DATABASE_URL`, whose role must be allowed to create databases, or else an
 * embedded one in a temporary directory, for which `embedded-postgres` must be installed.
 *
 * @example The global set-up of vitest or Jest: one server for the whole run.
 * ```ts
 * import { TestPostgres } from 'matrix-session-service/testing';
 *
 * export default async function setup() {
 *   const postgres = await TestPostgres.start();
 *   return () => postgres.stop();
 * }
 * ```
 */
export class TestPostgres {
  /**
   * Starts the server and stores its address in the environment, so that processes forked later can {@link find} it.
   */
  static async start(): Promise<TestPostgres> {
    const url = process.env['DATABASE_URL'];
    const directory = await temporaryDirectory();
    const embedded = url
      ? null
      : await EmbeddedPostgres.start({ dataDir: join(directory, 'data'), settings: SETTINGS });
    const server = embedded?.location ?? { url: url! };
    const template = `mss_template_${process.pid}_${Math.random().toString(36).slice(2)}`;
    const postgres = new TestPostgres({ server, template }, async () => {
      if (embedded === null) await execute(server, `DROP DATABASE ${template} WITH (FORCE)`);
      await embedded?.stop();
      await rm(directory, { recursive: true, force: true });
    });
    await execute(server, `CREATE DATABASE ${template}`);
    const migrated = await openDataSource(dataSourceOptions(inDatabase(server, template), 2));
    await migrated.destroy();
    process.env[VARIABLE] = JSON.stringify(postgres.address);
    return postgres;
  }

  /** The server that this process or its parent has started; `null` if there is none. */
  static find(): TestPostgres | null {
    const address = process.env[VARIABLE];
    return address === undefined ? null : new TestPostgres(JSON.parse(address) as Address, async () => {});
  }

  private constructor(
    private readonly address: Address,
    private readonly end: () => Promise<void>,
  ) {}

  /** Creates an empty database (`empty`), or a clone of one with the service's tables (`migrated`). */
  async createDatabase(kind: 'migrated' | 'empty' = 'migrated'): Promise<TestDatabase> {
    const { server, template } = this.address;
    const name = `mss_${process.pid}_${Math.random().toString(36).slice(2)}`;
    const from = kind === 'migrated' ? `TEMPLATE ${template} STRATEGY FILE_COPY` : '';
    await execute(server, `CREATE DATABASE ${name} ${from}`);
    return {
      location: inDatabase(server, name),
      drop: () => execute(server, `DROP DATABASE ${name} WITH (FORCE)`),
    };
  }

  /** Stops the server if this instance started it. A server from {@link find} keeps running. */
  async stop(): Promise<void> {
    delete process.env[VARIABLE];
    await this.end();
  }
}

/** The same server, another database. */
export function inDatabase(location: DatabaseLocation, database: string): DatabaseLocation {
  if (!('url' in location)) return { ...location, database };
  const url = new URL(location.url);
  url.pathname = `/${database}`;
  return { url: url.href };
}

/** The location in the form that `pg` expects. */
export function clientOptions(location: DatabaseLocation): ClientConfig {
  if ('url' in location) return { connectionString: location.url };
  const { username, ...rest } = location;
  return { user: username, ...rest };
}

/** A new directory that other users may enter, because a server that root starts runs as another user. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'mss-test-'));
  await chmod(directory, 0o755);
  return directory;
}

/** Runs one statement on a connection of its own. */
export async function execute(server: DatabaseLocation, sql: string): Promise<void> {
  const client = new Client(clientOptions(server));
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
