import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import {
  FAMILY_BYTES,
  readToken,
  SECRET_BYTES,
  type WireToken,
  writeToken,
} from '../src/session/token.rules.js';
import { clientOptions } from '../src/testing/test-postgres.js';
import { toUserId } from '../src/matrix/user-id.js';
import type { DatabaseLocation } from '../src/database/data-source.js';

export const SERVER_NAME = 'bench.localhost';
/** As many as clients keep uploaded. */
export const ONE_TIME_KEYS = 50;

/** A device that is logged in. */
export interface SeededSession {
  readonly userId: string;
  readonly deviceId: string;
  readonly access: WireToken;
  readonly refresh: WireToken;
}

let users = 0;

/** Fills tables past the service, as fast as the database takes rows. */
export class Seed {
  static async open(location: DatabaseLocation): Promise<Seed> {
    const client = new Client(clientOptions(location));
    await client.connect();
    return new Seed(client);
  }

  private constructor(readonly client: Client) {}

  /** Users with one device each, which has tokens and all kinds of keys. */
  async sessions(count: number, oneTimeKeys = ONE_TIME_KEYS): Promise<SeededSession[]> {
    const sessions = Array.from({ length: count }, () => newSession(`u${(users += 1)}`, 'DEVICE'));
    await this.insert(sessions, oneTimeKeys);
    return sessions;
  }

  /** One user with many devices; the session of the first. */
  async manyDevices(count: number): Promise<SeededSession> {
    const user = `u${(users += 1)}`;
    const sessions = Array.from({ length: count }, (_, at) => newSession(user, `D${at}`));
    await this.insert(sessions, ONE_TIME_KEYS);
    return sessions[0]!;
  }

  /** Users with a device that nobody uses, to make the tables large. */
  async crowd(count: number): Promise<void> {
    const user = `'@crowd' || n || ':${SERVER_NAME}'`;
    const digest = (kind: string) => `sha256(convert_to('${kind}' || n, 'UTF8'))`;
    const fill = (table: string, columns: string, values: string) =>
      this.client.query(
        `INSERT INTO ${table} (user_id, ${columns}) SELECT ${user}, ${values} FROM generate_series(1, ${count}) AS n`,
      );
    // Millions of rows that are right by construction: no foreign key is looked up for each.
    await this.client.query('SET session_replication_role = replica');
    await fill('accounts', 'created_at', 'now()');
    await fill('devices', 'device_id, created_at', `'DEVICE', now()`);
    await fill(
      'access_tokens',
      'device_id, token_digest, confirms_rotation, created_at',
      `'DEVICE', ${digest('access')}, false, now()`,
    );
    await fill(
      'refresh_tokens',
      'device_id, family, current_digest, created_at, rotated_at',
      `'DEVICE', ${digest('family')}, ${digest('refresh')}, now(), now()`,
    );
    await fill('session_families', 'device_id, family, started_at', `'DEVICE', ${digest('session')}, now()`);
    await fill('device_keys', 'device_id, keys, uploaded_at', `'DEVICE', '{}', now()`);
    await fill(
      'one_time_keys',
      'device_id, algorithm, key_id, key, uploaded_at, batch',
      `'DEVICE', 'signed_curve25519', 'K', '{}', now(), 1`,
    );
    await fill('device_lists', 'position, device_position', `n, n`);
    await fill('device_list_changes', 'position, change, device_id', `n, 'device_created', 'DEVICE'`);
    await this.client.query('RESET session_replication_role');
    await this.settle();
  }

  /** What autovacuum would have done by then, and a checkpoint, so that none falls into a measurement. */
  async settle(): Promise<void> {
    await this.client.query('VACUUM ANALYZE');
    await this.client.query('CHECKPOINT');
  }

  private async insert(sessions: readonly SeededSession[], oneTimeKeys: number): Promise<void> {
    const columns = [
      sessions.map(({ userId }) => userId),
      sessions.map(({ deviceId }) => deviceId),
      sessions.map(({ access }) => access.digest),
      sessions.map(({ access }) => access.sessionDigest),
      sessions.map(({ refresh }) => refresh.familyDigest),
      sessions.map(({ refresh }) => refresh.digest),
    ];
    const each = `FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[])
      AS s (user_id, device_id, access, family, refresh_family, refresh)`;
    const run = (sql: string) => this.client.query(`WITH s AS (SELECT * ${each}) ${sql}`, columns);
    await run(`INSERT INTO accounts (user_id, created_at) SELECT DISTINCT user_id, now() FROM s`);
    await run(
      `INSERT INTO devices (user_id, device_id, created_at) SELECT user_id, device_id, date_trunc('milliseconds', now()) FROM s`,
    );
    await run(`INSERT INTO access_tokens (user_id, token_digest, device_id, confirms_rotation, created_at)
      SELECT user_id, access, device_id, false, now() FROM s`);
    await run(`INSERT INTO refresh_tokens (user_id, device_id, family, current_digest, created_at, rotated_at)
      SELECT user_id, device_id, refresh_family, refresh, now(), now() FROM s`);
    await run(`INSERT INTO session_families (user_id, family, device_id, started_at)
      SELECT user_id, family, device_id, date_trunc('milliseconds', now()) FROM s`);
    await run(`INSERT INTO device_keys (user_id, device_id, keys, uploaded_at)
      SELECT user_id, device_id, json_build_object('user_id', user_id, 'device_id', device_id, 'algorithms', '[]'::json,
        'keys', json_build_object('ed25519:' || device_id, repeat('k', 43)), 'signatures', '{}'::json), now() FROM s`);
    await run(`INSERT INTO fallback_keys (user_id, device_id, algorithm, key_id, key, used, uploaded_at)
      SELECT user_id, device_id, 'signed_curve25519', 'F', '{"key": "f", "signatures": {}}', false, now() FROM s`);
    await run(`INSERT INTO one_time_keys (user_id, device_id, algorithm, key_id, key, uploaded_at, batch)
      SELECT user_id, device_id, 'signed_curve25519', 'K' || k,
        json_build_object('key', repeat('o', 43), 'signatures', json_build_object(user_id, repeat('s', 86))), now(), 1
      FROM s, generate_series(1, ${oneTimeKeys}) AS k`);
  }
}

function newSession(user: string, deviceId: string): SeededSession {
  const userId = toUserId(user, SERVER_NAME);
  const token = (kind: 'mxa' | 'mxr') =>
    readToken(
      kind,
      writeToken(kind, userId, randomBytes(FAMILY_BYTES), randomBytes(SECRET_BYTES)),
      SERVER_NAME,
    )!;
  return { userId, deviceId, access: token('mxa'), refresh: token('mxr') };
}
