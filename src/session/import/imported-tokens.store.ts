import { Injectable } from '@nestjs/common';
import type { Statement, Tx } from '../../database/tx.js';
import type { DeviceRef } from '../../events/devices-deleted.event.js';
import type { WireToken } from '../token.rules.js';

/** A token of another server, and the device that it belongs to. */
export interface ImportedToken extends DeviceRef {
  readonly token: WireToken;
  readonly expiresAt: Date | null;
}

const IMPORT_ACCESS_TOKENS: Statement = {
  name: 'session_import_access_tokens',
  text: `
    WITH imported AS (
      SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::timestamptz[])
        AS i (user_id, device_id, token_digest, family, expires_at)
    ), families AS (
      INSERT INTO session_families (user_id, family, device_id, started_at)
      SELECT user_id, family, device_id, $6 FROM imported ON CONFLICT (user_id, family) DO NOTHING
    )
    INSERT INTO access_tokens (user_id, token_digest, device_id, confirms_rotation, created_at, expires_at)
    SELECT user_id, token_digest, device_id, false, $6, expires_at FROM imported
    ON CONFLICT (user_id, token_digest) DO NOTHING
    RETURNING 1`,
};
const IMPORT_REFRESH_TOKENS: Statement = {
  name: 'session_import_refresh_tokens',
  text: `
    WITH imported AS (
      SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[])
        AS i (user_id, device_id, current_digest, family, session_family)
    ), families AS (
      INSERT INTO session_families (user_id, family, device_id, started_at)
      SELECT user_id, session_family, device_id, $6 FROM imported ON CONFLICT (user_id, family) DO NOTHING
    )
    INSERT INTO refresh_tokens (user_id, device_id, family, current_digest, created_at, rotated_at)
    SELECT user_id, device_id, family, current_digest, $6, $6 FROM imported
    ON CONFLICT (user_id, device_id) DO NOTHING
    RETURNING 1`,
};

/** The SQL of imported tokens. */
@Injectable()
export class ImportedTokensStore {
  /** Stores the access tokens of new devices. Returns how many. */
  async importAccessTokens(tx: Tx, tokens: readonly ImportedToken[]): Promise<number> {
    const columns = [
      tokens.map(({ userId }) => userId),
      tokens.map(({ deviceId }) => deviceId),
      tokens.map(({ token }) => token.digest),
      tokens.map(({ token }) => token.sessionDigest),
      tokens.map(({ expiresAt }) => expiresAt),
    ];
    return (await tx.query(IMPORT_ACCESS_TOKENS, [...columns, tx.startedAt])).length;
  }

  /** Stores the refresh tokens of new devices. Returns how many. */
  async importRefreshTokens(tx: Tx, tokens: readonly Omit<ImportedToken, 'expiresAt'>[]): Promise<number> {
    const columns = [
      tokens.map(({ userId }) => userId),
      tokens.map(({ deviceId }) => deviceId),
      tokens.map(({ token }) => token.digest),
      tokens.map(({ token }) => token.familyDigest),
      tokens.map(({ token }) => token.sessionDigest),
    ];
    return (await tx.query(IMPORT_REFRESH_TOKENS, [...columns, tx.startedAt])).length;
  }
}
