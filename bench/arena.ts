import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dataSourceOptions, type DatabaseLocation, openDataSource } from '../src/database/data-source.js';
import { EmbeddedPostgres } from '../src/database/embedded/embedded-postgres.js';
import { Contestant } from './contestant.js';
import { AS_TOKEN, type Baseline } from './scenarios.js';
import { execute, inDatabase, temporaryDirectory } from '../src/testing/test-postgres.js';
import { Seed } from './seed.js';

const APPSERVICE = `
id: bench
as_token: ${AS_TOKEN}
hs_token: bench-hs-token
sender_localpart: bench
namespaces: { users: [{ exclusive: false, regex: '@u.*' }] }
`;

/** A database of its own on a real PostgreSQL, fsync on, and the servers that are compared on it. */
export class Arena {
  static async open(): Promise<Arena> {
    const directory = await temporaryDirectory();
    const url = process.env['DATABASE_URL'];
    const embedded = url ? null : await EmbeddedPostgres.start({ dataDir: join(directory, 'data') });
    await writeFile(join(directory, 'appservice.yaml'), APPSERVICE);
    return Arena.on(embedded?.location ?? { url: url! }, directory, async () => {
      await embedded?.stop();
      await rm(directory, { recursive: true, force: true });
    });
  }

  private static async on(
    server: DatabaseLocation,
    directory: string,
    leave: () => Promise<void>,
  ): Promise<Arena> {
    const name = `mss_bench_${randomBytes(4).toString('hex')}`;
    await execute(server, `CREATE DATABASE ${name}`);
    const database = inDatabase(server, name);
    await (await openDataSource(dataSourceOptions(database, 2))).destroy();
    return new Arena(directory, server, name, database, leave, await Seed.open(database));
  }

  private constructor(
    readonly directory: string,
    private readonly server: DatabaseLocation,
    private readonly name: string,
    readonly database: DatabaseLocation,
    private readonly leave: () => Promise<void>,
    readonly seed: Seed,
  ) {}

  /** A second database on the same PostgreSQL; to be closed before this one. */
  neighbour(): Promise<Arena> {
    return Arena.on(this.server, this.directory, () => Promise.resolve());
  }

  service(environment: Record<string, string> = {}): Promise<Contestant> {
    const variables = { APPSERVICE_FILES: join(this.directory, 'appservice.yaml'), ...environment };
    return Contestant.start('service', './service.js', this.database, variables);
  }

  baseline(kind: Baseline): Promise<Contestant> {
    if (kind === 'unshared') return this.service({ BENCH_SHARING: 'off' });
    return Contestant.start(kind, `./baselines/${kind}.js`, this.database);
  }

  /** The database as `DATABASE_URL` names it. */
  get url(): string {
    if ('url' in this.database) return this.database.url;
    const { host, port, username, database } = this.database;
    return `postgresql://${username}@localhost:${port}/${database}?host=${encodeURIComponent(host)}`;
  }

  async postgresVersion(): Promise<string> {
    const { rows } = await this.seed.client.query<{ server_version: string }>('SHOW server_version');
    return rows[0]!.server_version;
  }

  async close(): Promise<void> {
    await this.seed.client.end();
    await execute(this.server, `DROP DATABASE ${this.name} WITH (FORCE)`);
    await this.leave();
  }
}
