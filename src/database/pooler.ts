import { Client } from 'pg';
import { EnvironmentError } from '../config/environment.js';

const SENTENCE =
  'DATABASE_URL leads to a pooler (such as PgBouncer) that gives each transaction another connection. The service has ' +
  'prepared statements and settings on its connections: set pool_mode = session for its database there, or name ' +
  'PostgreSQL itself in DATABASE_URL';

/**
 * Sees to it that a connection stays the same connection: behind a pooler in transaction mode prepared statements, and with
 * them most requests, would fail now and then.
 * @throws {EnvironmentError}
 */
export async function requireOwnConnections(url: string): Promise<void> {
  const [one, other] = [connection(url), connection(url)];
  try {
    await Promise.all([one.connect(), other.connect()]);
    const before = await backendOf(one);
    // Whoever is between two transactions has, behind such a pooler, nothing that another could not take.
    const hasTransactions = await other.query('BEGIN').then(
      () => true,
      () => false,
    );
    const isOwn = hasTransactions && (await backendOf(other)) !== before && (await backendOf(one)) === before;
    if (!isOwn) throw new EnvironmentError([SENTENCE]);
  } finally {
    await Promise.all([one, other].map((client) => client.end().catch(() => {})));
  }
}

function connection(url: string): Client {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => {});
  return client;
}

async function backendOf(client: Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return rows[0]!.pid;
}
