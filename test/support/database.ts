import { Client, type ClientConfig } from 'pg';
import { inject } from 'vitest';
import type { DatabaseLocation } from '../../src/database/data-source.js';

/** The same server, another database. */
export function inDatabase(location: DatabaseLocation, database: string): DatabaseLocation {
  if (!('url' in location)) return { ...location, database };
  const url = new URL(location.url);
  url.pathname = `/${database}`;
  return { url: url.href };
}

/** What `pg` wants to hear where TypeORM wants a location. */
export function clientOptions(location: DatabaseLocation): ClientConfig {
  if ('url' in location) return { connectionString: location.url };
  const { username, ...rest } = location;
  return { user: username, ...rest };
}

/** A database of the caller's own. */
export interface TestDatabase {
  readonly location: DatabaseLocation;
  drop(): Promise<void>;
}

/** An empty database (`empty`), or a clone of the migrated one. */
export async function createDatabase(kind: 'migrated' | 'empty' = 'migrated'): Promise<TestDatabase> {
  const { server, template } = inject('postgres');
  const name = `mss_${process.pid}_${Math.random().toString(36).slice(2)}`;
  const from = kind === 'migrated' ? `TEMPLATE ${template} STRATEGY FILE_COPY` : '';
  await run(server, `CREATE DATABASE ${name} ${from}`);
  return {
    location: inDatabase(server, name),
    drop: () => run(server, `DROP DATABASE ${name} WITH (FORCE)`),
  };
}

async function run(server: DatabaseLocation, sql: string): Promise<void> {
  const client = new Client(clientOptions(server));
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
