import { Client } from 'pg';
import { EnvironmentError } from '../../config/environment.js';
import type { ImportedAccount } from '../../accounts/accounts.store.js';
import type { ImportedDevice } from '../../device-rows/device-rows.js';
import type { ForeignToken, SessionImport } from '../../session/import/session-import.service.js';

const IS_SYNAPSES = `SELECT to_regclass('applied_schema_deltas') IS NOT NULL AS "isSynapses"`;
const COUNT = 'SELECT count(*)::int AS count FROM users WHERE COALESCE(is_guest, 0) = 0 AND name <> $1';
const USERS = `
  SELECT name, password_hash, appservice_id IS NOT NULL AS is_appservices, to_timestamp(creation_ts) AS created_at,
    deactivated = 1 AS is_deactivated, locked AS is_locked, suspended AS is_suspended
  FROM users WHERE name > $1 COLLATE "C" AND COALESCE(is_guest, 0) = 0 AND name <> $3
  ORDER BY name COLLATE "C" LIMIT $2`;
/** Hidden ones are no devices, but cross-signing keys. */
const DEVICES = `
  SELECT user_id, device_id, display_name, to_timestamp(last_seen / 1000.0) AS seen_at, ip, user_agent
  FROM devices WHERE user_id = ANY ($1) AND NOT COALESCE(hidden, false)
    AND (user_id, device_id) NOT IN (SELECT user_id, device_id FROM dehydrated_devices)`;
/** Not those with which an administrator acts as the user. */
const ACCESS_TOKENS = `
  SELECT user_id, device_id, token, to_timestamp(valid_until_ms / 1000.0) AS expires_at FROM access_tokens
  WHERE user_id = ANY ($1) AND device_id IS NOT NULL AND puppets_user_id IS NULL
    AND (valid_until_ms IS NULL OR valid_until_ms > $2)`;
const REFRESH_TOKENS = `
  SELECT DISTINCT ON (user_id, device_id) user_id, device_id, token, NULL AS expires_at FROM refresh_tokens
  WHERE user_id = ANY ($1) AND next_token_id IS NULL AND (expiry_ts IS NULL OR expiry_ts > $2)
    AND (ultimate_session_expiry_ts IS NULL OR ultimate_session_expiry_ts > $2)
  ORDER BY user_id, device_id, id DESC`;

interface UserRow {
  readonly name: string;
  readonly password_hash: string | null;
  readonly is_appservices: boolean;
  readonly created_at: Date | null;
  readonly is_deactivated: boolean;
  readonly is_locked: boolean | null;
  readonly is_suspended: boolean | null;
}

interface TokenRow {
  readonly user_id: string;
  readonly device_id: string;
  readonly token: string;
  readonly expires_at: Date | null;
}

/** The database of a Synapse, which is only read: in one snapshot, and never written to. */
export class SynapseSource {
  /** @throws {EnvironmentError} if it cannot be reached */
  static async open(url: string, own: string): Promise<SynapseSource> {
    const client = new Client({ connectionString: url, application_name: 'matrix-session import' });
    // The query that needs the connection reports that it is lost.
    client.on('error', () => {});
    try {
      await client.connect();
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      const { rows } = await client.query<{ isSynapses: boolean }>(IS_SYNAPSES);
      if (!rows[0]!.isSynapses) throw new Error('it is no database of Synapse');
      return new SynapseSource(client, own);
    } catch (error) {
      await client.end().catch(() => {});
      throw new EnvironmentError([`--from cannot be read: ${(error as Error).message}`]);
    }
  }

  /** @param own the user as whom this service calls the admin API, whom it has made itself */
  private constructor(
    private readonly client: Client,
    private readonly own: string,
  ) {}

  /** Without guests. */
  async countUsers(): Promise<number> {
    const { rows } = await this.client.query<{ count: number }>(COUNT, [this.own]);
    return rows[0]!.count;
  }

  /** Some user ID, to see which server the database is of; `null` if there is none. */
  async someUser(): Promise<string | null> {
    const { rows } = await this.client.query<{ name: string }>('SELECT name FROM users LIMIT 1');
    return rows[0]?.name ?? null;
  }

  /** The next users after a user ID, without guests, with their devices and tokens; `null` behind the last one. */
  async next(behind: string, limit: number, now: Date): Promise<SessionImport | null> {
    const { rows: users } = await this.client.query<UserRow>(USERS, [behind, limit, this.own]);
    if (users.length === 0) return null;
    const names = users.map(({ name }) => name);
    const { rows: devices } = await this.client.query(DEVICES, [names]);
    const { rows: accessTokens } = await this.client.query<TokenRow>(ACCESS_TOKENS, [names, now.getTime()]);
    const { rows: refreshTokens } = await this.client.query<TokenRow>(REFRESH_TOKENS, [names, now.getTime()]);
    return {
      accounts: users.map((user) => toAccount(user, now)),
      devices: devices.map((row: Record<string, never>): ImportedDevice => ({
        userId: row['user_id']!,
        deviceId: row['device_id']!,
        displayName: row['display_name'] ?? null,
        lastSeenAt: row['seen_at'] ?? null,
        lastSeenIp: row['ip'] ?? null,
        lastSeenUserAgent: row['user_agent'] ?? null,
      })),
      accessTokens: accessTokens.map(toToken),
      refreshTokens: refreshTokens.map(toToken),
    };
  }

  async close(): Promise<void> {
    await this.client.end();
  }
}

function toAccount(user: UserRow, now: Date): ImportedAccount {
  return {
    userId: user.name,
    // Synapse stores an empty one for users without a password.
    passwordHash: user.is_deactivated ? null : user.password_hash || null,
    kind: user.is_appservices ? 'appservice' : 'user',
    createdAt: user.created_at ?? now,
    isDeactivated: user.is_deactivated,
    isLocked: user.is_locked ?? false,
    isSuspended: user.is_suspended ?? false,
  };
}

function toToken({ user_id, device_id, token, expires_at }: TokenRow): ForeignToken {
  return { userId: user_id, deviceId: device_id, token, expiresAt: expires_at };
}
