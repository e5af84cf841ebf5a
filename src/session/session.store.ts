import { Injectable } from '@nestjs/common';
import type { AccountKind } from '../accounts/account.entity.js';
import type { SharedWork } from '../database/shared-work.js';
import type { Statement, Tx } from '../database/tx.js';
import { UnitOfWork } from '../database/unit-of-work.js';
import { deletionFrom, DeviceTables } from '../device-rows/device-tables.js';
import { deviceColumns, type DeviceRef } from '../events/devices-deleted.event.js';
import type { RefreshTokenEntity } from './refresh-token.entity.js';
import type { SessionClient, TokenPair } from './session.rules.js';
import type { WireToken } from './token.rules.js';

/** What the guard reads about an access token. */
export interface FoundAccessToken {
  readonly deviceId: string;
  readonly deviceCreatedAt: Date;
  readonly expiresAt: Date | null;
  readonly confirmsRotation: boolean;
  readonly isOAuth: boolean;
  readonly kind: AccountKind;
  readonly isLocked: boolean;
  readonly isSuspended: boolean;
  readonly isAdmin: boolean;
}

interface LookUp {
  readonly userId: string;
  readonly digest: Buffer;
}

/** A device whose session belongs to an OAuth 2.0 client. */
export interface OAuthSession {
  readonly deviceId: string;
  readonly clientId: string;
}

/** A refresh token that is being replaced by a new pair. */
export interface Rotated {
  readonly session: RefreshTokenEntity;
  /** Digest of the token that was presented. */
  readonly presented: Buffer;
  readonly isRetry: boolean;
  readonly pair: TokenPair;
}

const FIND_ACCESS_TOKENS: Statement = {
  name: 'session_find_access_tokens',
  text: `
    SELECT presented.n::int, t.device_id AS "deviceId", d.created_at AS "deviceCreatedAt", t.expires_at AS "expiresAt",
      t.confirms_rotation AS "confirmsRotation", t.is_oauth AS "isOAuth", a.kind, a.locked_at IS NOT NULL AS "isLocked",
      a.suspended_at IS NOT NULL AS "isSuspended", a.is_admin AS "isAdmin"
    FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS presented (user_id, token_digest, n)
    JOIN access_tokens t USING (user_id, token_digest)
    JOIN devices d USING (user_id, device_id) JOIN accounts a USING (user_id)`,
};
const FIND_LIVE: Statement = {
  name: 'session_find_live',
  text: `
    SELECT token_digest AS "tokenDigest" FROM unnest($1::text[], $2::bytea[]) AS presented (user_id, token_digest)
    JOIN access_tokens USING (user_id, token_digest)`,
};
const FIND_USABLE: Statement = {
  name: 'session_find_usable',
  text: `
    SELECT d.user_id AS "userId", d.device_id AS "deviceId"
    FROM unnest($1::text[], $2::text[]) AS d (user_id, device_id)
    WHERE EXISTS (SELECT FROM accounts a WHERE a.user_id = d.user_id AND a.kind = 'appservice')
      OR EXISTS (SELECT FROM refresh_tokens r WHERE r.user_id = d.user_id AND r.device_id = d.device_id
        AND CASE WHEN r.ended_reason IS NULL THEN
          r.created_at > COALESCE($4, '-infinity'::timestamptz) AND r.rotated_at > COALESCE($5, '-infinity'::timestamptz)
          ELSE r.rotated_at >= $3 END)
      OR EXISTS (SELECT FROM access_tokens t WHERE t.user_id = d.user_id AND t.device_id = d.device_id
        AND (t.expires_at IS NULL OR t.expires_at >= $3))`,
};
const FIND_FAMILY: Statement = {
  name: 'session_find_family',
  text: 'SELECT FROM session_families WHERE user_id = $1 AND family = $2',
};
const INSERT_LOGIN_TOKEN: Statement = {
  name: 'session_insert_login_token',
  text: 'INSERT INTO login_tokens (user_id, token_digest, device_id, expires_at) VALUES ($1, $2, $3, $4)',
};
const PURGE_LOGIN_TOKENS: Statement = {
  name: 'session_purge_login_tokens',
  text: 'DELETE FROM login_tokens WHERE user_id = $1 AND expires_at <= $2',
};
const TAKE_LOGIN_TOKEN: Statement = {
  name: 'session_take_login_token',
  text: 'DELETE FROM login_tokens WHERE user_id = $1 AND token_digest = $2 RETURNING expires_at AS "expiresAt"',
};
const FIND_ISSUER: Statement = {
  name: 'session_find_issuer',
  text: `
    SELECT user_id AS "userId", device_id AS "deviceId" FROM login_tokens WHERE user_id = $1 AND token_digest = $2`,
};
const DELETE_LOGIN_TOKENS: Statement = {
  name: 'session_delete_login_tokens',
  text: `
    DELETE FROM login_tokens t USING unnest($1::text[], $2::text[]) AS ended (user_id, device_id)
    WHERE t.user_id = ended.user_id AND t.device_id = ended.device_id`,
};
// One statement for all tables of this module: each extra statement costs both sides another round of parsing
// messages.
const INSERT_SESSION: Statement = {
  name: 'session_insert',
  text: `
    WITH family AS (
      INSERT INTO session_families (user_id, family, device_id, started_at) VALUES ($1, $3, $2, $4)
    ), forgotten AS (
      DELETE FROM session_families WHERE user_id = $1 AND device_id = $2 AND family IN
        (SELECT family FROM session_families WHERE user_id = $1 AND device_id = $2
         ORDER BY started_at DESC, family OFFSET $5::int - 1)
    ), refresh AS (
      INSERT INTO refresh_tokens (user_id, device_id, family, current_digest, created_at, rotated_at, oauth_client_id,
        oauth_scope, session_digest)
      SELECT $1, $2, $6, $7, $4, $4, $10, $11, CASE WHEN $10::text IS NOT NULL THEN $3::bytea END
      WHERE $7::bytea IS NOT NULL
    )
    INSERT INTO access_tokens (user_id, token_digest, device_id, confirms_rotation, created_at, expires_at, is_oauth)
    VALUES ($1, $8, $2, false, $4, $9, $10::text IS NOT NULL)`,
};
/** Deletes the tokens of devices; returns a row for each deleted access token. */
const DELETE_TOKENS = deletionFrom('session_delete_tokens', [
  'refresh_tokens',
  'login_tokens',
  'access_tokens',
]);
/** Everything that a session has. The statement tells of the rows of the last table. */
const TABLES = ['refresh_tokens', 'login_tokens', 'session_families', 'access_tokens'] as const;
const DELETE_SESSIONS = deletionFrom('session_delete_sessions', TABLES);
const DELETE_ALL_SESSIONS: Statement = {
  name: 'session_delete_all_sessions',
  text: `
    WITH ${TABLES.slice(0, -1)
      .map(
        (table) =>
          `${table}_ended AS (DELETE FROM ${table} WHERE user_id = $1 AND device_id IS DISTINCT FROM $2)`,
      )
      .join(', ')}
    DELETE FROM ${TABLES.at(-1)} WHERE user_id = $1 AND device_id IS DISTINCT FROM $2`,
};
/** How many spent refresh tokens a session remembers. */
const KEPT_RETIRED = 8;
/** The digests that a rotation marks as spent. The presented token becomes `previous_digest` instead. */
const SPENT = `
  array_remove(ARRAY[t.superseded_digest, CASE WHEN NOT r.is_retry THEN t.previous_digest END], NULL)`;
// A retry replaces the pair whose response was lost. A regular rotation proves that the response with the replaced
// pair arrived.
const ROTATE: Statement = {
  name: 'session_rotate',
  text: `
    WITH rotation AS (
      SELECT * FROM unnest
        ($1::text[], $2::text[], $3::bool[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[], $11::bool[])
        AS rotation (user_id, device_id, is_retry, current_digest, previous_digest, superseded_digest, access_digest,
          is_oauth)
    ), forgotten AS (
      DELETE FROM access_tokens t USING rotation r
      WHERE t.user_id = r.user_id AND t.device_id = r.device_id
        AND (t.confirms_rotation AND r.is_retry OR t.expires_at < $8)
    ), confirmed AS (
      UPDATE access_tokens t SET confirms_rotation = false FROM rotation r
      WHERE t.user_id = r.user_id AND t.device_id = r.device_id
        AND t.confirms_rotation AND NOT r.is_retry AND NOT (t.expires_at < $8) IS TRUE
    ), rotated AS (
      UPDATE refresh_tokens t SET current_digest = r.current_digest, previous_digest = r.previous_digest,
        superseded_digest = r.superseded_digest, rotated_at = $9,
        retired_digests = (${SPENT} || t.retired_digests)[1:${KEPT_RETIRED}],
        retired_at = (array_fill($9::timestamptz, ARRAY[cardinality(${SPENT})]) || t.retired_at)[1:${KEPT_RETIRED}]
      FROM rotation r WHERE t.user_id = r.user_id AND t.device_id = r.device_id
    )
    INSERT INTO access_tokens (user_id, token_digest, device_id, confirms_rotation, created_at, expires_at, is_oauth)
    SELECT user_id, access_digest, device_id, true, $9, $10, is_oauth FROM rotation`,
};
// Also locks the sessions: the last holder of the device may have changed them, and PostgreSQL reads the newest
// version of locked rows.
const LOCK_FAMILIES: Statement = {
  name: 'session_lock_families',
  text: `
    SELECT user_id AS "userId", device_id AS "deviceId", r.family, r.current_digest AS "currentDigest",
      r.previous_digest AS "previousDigest", r.superseded_digest AS "supersededDigest", r.created_at AS "createdAt",
      r.rotated_at AS "rotatedAt", r.ended_reason AS "endedReason",
      r.retired_digests AS "retiredDigests", r.retired_at AS "retiredAt", r.oauth_client_id AS "oauthClientId",
      r.oauth_scope AS "oauthScope"
    FROM unnest($1::text[], $2::bytea[]) AS presented (user_id, family)
    JOIN refresh_tokens r USING (user_id, family) JOIN devices d USING (user_id, device_id)
    ORDER BY user_id, device_id
    FOR UPDATE OF d, r`,
};
// A later login on the device replaces the row of `refresh_tokens`, so only the newest session of a device is found.
const FIND_OAUTH: Statement = {
  name: 'session_find_oauth',
  text: `
    SELECT r.device_id AS "deviceId", r.oauth_client_id AS "clientId"
    FROM session_families f JOIN refresh_tokens r
      ON r.user_id = f.user_id AND r.device_id = f.device_id AND r.session_digest = f.family
    WHERE f.user_id = $1 AND f.family = $2`,
};
const LIST_CLIENTS: Statement = {
  name: 'session_list_clients',
  text: `
    SELECT device_id AS "deviceId", oauth_client_id AS "clientId" FROM refresh_tokens
    WHERE user_id = $1 AND oauth_client_id IS NOT NULL`,
};
const CONFIRM_ACCESS_TOKENS: Statement = {
  name: 'session_confirm_access_tokens',
  text: `
    UPDATE access_tokens SET confirms_rotation = false
    WHERE user_id = $1 AND device_id = $2 AND confirms_rotation`,
};
const RETIRE_PREVIOUS: Statement = {
  name: 'session_retire_previous',
  text: `
    UPDATE refresh_tokens SET previous_digest = NULL,
      retired_digests = (array_prepend(previous_digest, retired_digests))[1:${KEPT_RETIRED}],
      retired_at = (array_prepend($3::timestamptz, retired_at))[1:${KEPT_RETIRED}]
    WHERE user_id = $1 AND device_id = $2 AND previous_digest IS NOT NULL`,
};
const END_FAMILY: Statement = {
  name: 'session_end_family',
  text: 'UPDATE refresh_tokens SET ended_reason = $3, rotated_at = $4 WHERE user_id = $1 AND device_id = $2',
};
const EXPIRE_ACCESS_TOKENS: Statement = {
  name: 'session_expire_access_tokens',
  text: `
    UPDATE access_tokens SET expires_at = $3
    WHERE user_id = $1 AND device_id = $2 AND (expires_at IS NULL OR expires_at > $3)`,
};

/** How many sessions of a device are remembered: a bot may log in on the same device every day. */
const KEPT_FAMILIES = 20;

/** The SQL of sessions. */
@Injectable()
export class SessionStore {
  private readonly lookUps: SharedWork<LookUp, FoundAccessToken | null>;

  constructor(
    private readonly unitOfWork: UnitOfWork,
    tables: DeviceTables,
  ) {
    tables.register(...TABLES);
    this.lookUps = unitOfWork.shareLookUps(
      { name: 'access_tokens', userOf: ({ userId }) => userId },
      (lookUps: readonly LookUp[]) => this.findTogether(lookUps),
    );
  }

  /** Reads the token as it is now. Concurrent look-ups share a statement; nothing is cached. */
  findAccessToken(userId: string, digest: Buffer): Promise<FoundAccessToken | null> {
    return this.lookUps.together({ userId, digest });
  }

  async hasAccessToken(tx: Tx, userId: string, digest: Buffer): Promise<boolean> {
    return (await this.findLive(tx, [{ userId, tokenDigest: digest }])).size === 1;
  }

  /** Returns the digests, in base64, of those access tokens that exist. */
  async findLive(
    tx: Tx,
    tokens: readonly { readonly userId: string; readonly tokenDigest: Buffer }[],
  ): Promise<Set<string>> {
    const rows = await tx.query<{ tokenDigest: Buffer }>(FIND_LIVE, [
      tokens.map(({ userId }) => userId),
      tokens.map(({ tokenDigest }) => tokenDigest),
    ]);
    return new Set(rows.map(({ tokenDigest }) => tokenDigest.toString('base64')));
  }

  /** Returns the devices that can still be used, or could be used at `before` or later. */
  findUsable(
    tx: Tx,
    devices: readonly DeviceRef[],
    before: Date,
    { begun, refreshed }: { begun: Date | null; refreshed: Date | null },
  ): Promise<DeviceRef[]> {
    return tx.query(FIND_USABLE, [...deviceColumns(devices), before, begun, refreshed]);
  }

  /**
   * Stores the tokens of a session. The session is remembered while its device exists and it is one of the newest on
   * it.
   */
  async insertSession(
    tx: Tx,
    { userId, deviceId }: DeviceRef,
    pair: TokenPair,
    client: SessionClient | null,
  ): Promise<void> {
    const { access, refresh, expiresAt } = pair;
    await tx.query(INSERT_SESSION, [
      userId,
      deviceId,
      access.sessionDigest,
      tx.startedAt,
      KEPT_FAMILIES,
      refresh?.familyDigest ?? null,
      refresh?.digest ?? null,
      access.digest,
      expiresAt,
      client?.clientId ?? null,
      client?.scope ?? null,
    ]);
  }

  /** Finds the OAuth 2.0 session of this family, if no later login on its device has replaced it. */
  async findOAuth(tx: Tx, userId: string, family: Buffer): Promise<OAuthSession | null> {
    const [session] = await tx.query<OAuthSession>(FIND_OAUTH, [userId, family]);
    return session ?? null;
  }

  /** The devices of a user whose sessions belong to OAuth 2.0 clients. */
  listClients(userId: string): Promise<OAuthSession[]> {
    return this.unitOfWork.query(LIST_CLIENTS, [userId]);
  }

  /** Whether a session of this family began on a device that still exists. */
  async isFamilyKnown(userId: string, family: Buffer): Promise<boolean> {
    return (await this.unitOfWork.query(FIND_FAMILY, [userId, family])).length === 1;
  }

  /** Deletes every token of these devices; returns whether there was an access token among them. */
  async deleteTokens(tx: Tx, devices: readonly DeviceRef[]): Promise<boolean> {
    return (await tx.query(DELETE_TOKENS, deviceColumns(devices))).length > 0;
  }

  /** Deletes every token of these devices and the record of their sessions. */
  async deleteSessions(tx: Tx, devices: readonly DeviceRef[]): Promise<void> {
    await tx.query(DELETE_SESSIONS, deviceColumns(devices));
  }

  /** Deletes every token of a user's devices, except `keptDeviceId`, and the record of their sessions. */
  async deleteAllSessions(tx: Tx, userId: string, keptDeviceId: string | null): Promise<void> {
    await tx.query(DELETE_ALL_SESSIONS, [userId, keptDeviceId]);
  }

  /** Stores a login token and removes the user's expired ones. */
  async insertLoginToken(
    tx: Tx,
    { userId, deviceId }: DeviceRef,
    digest: Buffer,
    expiresAt: Date,
  ): Promise<void> {
    await tx.inOrder(
      () => tx.query(PURGE_LOGIN_TOKENS, [userId, tx.startedAt]),
      () => tx.query(INSERT_LOGIN_TOKEN, [userId, digest, deviceId, expiresAt]),
    );
  }

  /** Finds the device that requested a login token. */
  async findIssuer(tx: Tx, userId: string, digest: Buffer): Promise<DeviceRef | null> {
    const [device] = await tx.query<DeviceRef>(FIND_ISSUER, [userId, digest]);
    return device ?? null;
  }

  /** Deletes the login tokens that these devices requested. */
  async deleteLoginTokens(tx: Tx, devices: readonly DeviceRef[]): Promise<void> {
    await tx.query(DELETE_LOGIN_TOKENS, deviceColumns(devices));
  }

  /** Consumes a login token; returns whether it was valid. */
  async takeLoginToken(tx: Tx, userId: string, digest: Buffer): Promise<boolean> {
    const [token] = await tx.query<{ expiresAt: Date }>(TAKE_LOGIN_TOKEN, [userId, digest]);
    return token !== undefined && token.expiresAt > tx.startedAt;
  }

  /** Returns the sessions that refresh tokens of these families belong to, and locks them and their devices. */
  lockFamilies(
    tx: Tx,
    presented: readonly Pick<WireToken, 'userId' | 'familyDigest'>[],
  ): Promise<RefreshTokenEntity[]> {
    return tx.query<RefreshTokenEntity>(LOCK_FAMILIES, [
      presented.map(({ userId }) => userId),
      presented.map(({ familyDigest }) => familyDigest),
    ]);
  }

  /**
   * Replaces the presented refresh tokens with new pairs. The sessions must be locked.
   * @param expiresAt when the new access tokens expire
   * @param forgetBefore access tokens that expired earlier are removed
   */
  async rotate(
    tx: Tx,
    rotations: readonly Rotated[],
    { expiresAt, forgetBefore }: { expiresAt: Date; forgetBefore: Date },
  ): Promise<void> {
    await tx.query(ROTATE, [
      ...deviceColumns(rotations.map(({ session }) => session)),
      rotations.map(({ isRetry }) => isRetry),
      rotations.map(({ pair }) => pair.refresh!.digest),
      rotations.map(({ presented }) => presented),
      rotations.map(({ isRetry, session }) => (isRetry ? session.currentDigest : null)),
      rotations.map(({ pair }) => pair.access.digest),
      forgetBefore,
      tx.startedAt,
      expiresAt,
      rotations.map(({ session }) => session.oauthClientId !== null),
    ]);
  }

  /** Records that the device's access tokens no longer wait for their first use. */
  async confirmAccessTokens(tx: Tx, { userId, deviceId }: DeviceRef): Promise<void> {
    await tx.query(CONFIRM_ACCESS_TOKENS, [userId, deviceId]);
  }

  /** Marks the previous refresh token as spent. */
  async retirePrevious(tx: Tx, { userId, deviceId }: DeviceRef): Promise<void> {
    await tx.query(RETIRE_PREVIOUS, [userId, deviceId, tx.startedAt]);
  }

  /** Ends the session but keeps its tokens recognisable, because its device stays. */
  async endKeepingDevice(tx: Tx, { userId, deviceId }: DeviceRef, reason: string): Promise<void> {
    await tx.inOrder(
      () => tx.query(END_FAMILY, [userId, deviceId, reason, tx.startedAt]),
      () => tx.query(EXPIRE_ACCESS_TOKENS, [userId, deviceId, tx.startedAt]),
      () => this.deleteLoginTokens(tx, [{ userId, deviceId }]),
    );
  }

  private async findTogether(lookUps: readonly LookUp[]): Promise<(FoundAccessToken | null)[]> {
    const rows = await this.unitOfWork.query<FoundAccessToken & { n: number }>(FIND_ACCESS_TOKENS, [
      lookUps.map(({ userId }) => userId),
      lookUps.map(({ digest }) => digest),
    ]);
    const found = new Map(rows.map((row) => [row.n, row]));
    return lookUps.map((_, at) => found.get(at + 1) ?? null);
  }
}
