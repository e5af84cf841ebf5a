import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import type { TestProject } from 'vitest/node';
import { dataSourceOptions, type DatabaseLocation, openDataSource } from '../../src/database/data-source.js';
import { EmbeddedPostgres } from '../../src/database/embedded/embedded-postgres.js';
import { clientOptions, inDatabase } from './database.js';
import { temporaryDirectory } from './temporary-directory.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** The server the tests run on, and the migrated database that each file clones. */
    postgres: { server: DatabaseLocation; template: string };
  }
}

/** One real PostgreSQL for the whole run: that of DATABASE_URL, or an embedded one in a throw-away directory. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const url = process.env['DATABASE_URL'];
  const directory = await temporaryDirectory();
  const settings = {
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    max_connections: '200',
  };
  const embedded = url ? null : await EmbeddedPostgres.start({ dataDir: join(directory, 'data'), settings });
  const server = embedded?.location ?? { url: url! };
  const template = `mss_template_${process.pid}`;
  await asAdministrator(server, `CREATE DATABASE ${template}`);
  const migrated = await openDataSource(dataSourceOptions(inDatabase(server, template), 2));
  await migrated.destroy();
  project.provide('postgres', { server, template });
  return async () => {
    if (embedded === null) await asAdministrator(server, `DROP DATABASE ${template} WITH (FORCE)`);
    await embedded?.stop();
    await rm(directory, { recursive: true, force: true });
  };
}

async function asAdministrator(server: DatabaseLocation, sql: string): Promise<void> {
  const client = new Client(clientOptions(server));
  await client.connect();
  await client.query(sql);
  await client.end();
}
