import { Client } from 'pg';
import { EnvironmentError } from '../config/environment.js';

/** How often the check is repeated, because others may be using the pooler too. */
const ROUNDS = 3;

const SENTENCE =
  'DATABASE_URL leads to a pooler (such as PgBouncer) that gives each transaction another connection. The service has ' +
  'prepared statements and settings on its connections: set pool_mode = session for its database there, or name ' +
  'PostgreSQL itself in DATABASE_URL';

/**
 * Checks that each connection keeps its backend: behind a pooler in transaction mode, prepared statements, and with
 * them most requests, would fail now and then.
 * @throws {EnvironmentError}
 */
export async function requireOwnConnections(url: string): Promise<void> {
  const [one, other] = [connection(url), connection(url)];
  try {
    await Promise.all([one.connect(), other.connect()]);
    for (let round = 0; round < ROUNDS; round += 1)
      if (!(await isOwn(one, other))) throw new EnvironmentError([SENTENCE]);
  } finally {
    await Promise.all([one, other].map((client) => client.end().catch(() => {})));
  }
}

/**
 * Whether each of two clients keeps its backend. A pooler that hands out the last used backend would give the first
 * client's to the other's transaction. A round-robin pooler would give the first client another backend each time.
 */
async function isOwn(one: Client, other: Client): Promise<boolean> {
  const own = [await backendOf(one), await backendOf(one), await backendOf(one)];
  const hasTransactions = await other.query('BEGIN').then(
    () => true,
    () => false,
  );
  if (!hasTransactions) return false;
  own.push(await backendOf(other));
  // Behind a pooler with one backend, the first client would have to wait until the other is done.
  const [before, , , others] = own;
  if (others !== before) own.push(await backendOf(one));
  await other.query('ROLLBACK');
  return own.every((backend, at) => (at === 3 ? backend !== before : backend === before));
}

function connection(url: string): Client {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000, query_timeout: 5_000 });
  client.on('error', () => {});
  return client;
}

async function backendOf(client: Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return rows[0]!.pid;
}
