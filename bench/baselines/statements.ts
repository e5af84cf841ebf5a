import type { Statement } from '../../src/database/tx.js';

// What a bare server asks of PostgreSQL for each request: one statement, prepared, that does all the work of ours,
// down to the log of device-list changes and the audit. $1 and $2 are the user and the digest of the access token.

const TOKEN = `token AS (
  SELECT user_id, device_id FROM access_tokens WHERE user_id = $1 AND token_digest = $2
)`;

/** A statement of every table that hangs on `gone`. */
function deletions(tables: readonly string[]): string {
  return tables
    .map(
      (table) => `${table}_gone AS (
        DELETE FROM ${table} t USING gone WHERE t.user_id = gone.user_id AND t.device_id = gone.device_id
      )`,
    )
    .join(', ');
}

/** The entry of the audit for each row of `source`. */
function audited(source: string, action: string, device: string): string {
  return `audited AS (
    INSERT INTO audit_entries (at, user_id, entry_id, action, device_id, address)
    SELECT now(), user_id, '00000' || substr(md5(random()::text), 1, 12), '${action}', ${device}, '127.0.0.1' FROM ${source}
  )`;
}

const HANGING = [
  'access_tokens',
  'refresh_tokens',
  'login_tokens',
  'session_families',
  'device_keys',
  'one_time_keys',
  'fallback_keys',
  'key_signatures',
];

/** Deletes the devices of `gone` with all that hangs on them, and writes the log. $3 is the position. */
const DELETE_GONE = `
  ${deletions(HANGING)},
  list AS (
    INSERT INTO device_lists AS l (user_id, position, device_position)
    SELECT user_id, $3::bigint + count(*), $3::bigint + count(*) FROM gone GROUP BY user_id
    ON CONFLICT (user_id) DO UPDATE SET position = greatest(l.position, $3::bigint) + excluded.position - $3::bigint,
      device_position = greatest(l.position, $3::bigint) + excluded.position - $3::bigint,
      previous_device_position = l.device_position
    RETURNING user_id, position, previous_device_position
  ),
  logged AS (
    INSERT INTO device_list_changes (user_id, position, previous_position, change, device_id)
    SELECT user_id, position - row_number() OVER () + 1, previous_device_position, 'device_deleted', device_id
    FROM gone JOIN list USING (user_id)
  ),
  ${audited('gone', 'session_ended', 'device_id')}
  DELETE FROM devices d USING gone WHERE d.user_id = gone.user_id AND d.device_id = gone.device_id
  RETURNING d.device_id`;

export const LOGOUT: Statement = {
  name: 'bench_logout',
  text: `
    WITH ${TOKEN}, gone AS (SELECT d.* FROM devices d JOIN token USING (user_id, device_id) FOR UPDATE OF d),
    ${DELETE_GONE}`,
};

export const LOGOUT_ALL: Statement = {
  name: 'bench_logout_all',
  text: `
    WITH ${TOKEN}, gone AS (SELECT d.* FROM devices d JOIN token USING (user_id) FOR UPDATE OF d),
    ${DELETE_GONE}`,
};

export const WHOAMI: Statement = {
  name: 'bench_whoami',
  text: `
    SELECT t.device_id, d.created_at, t.expires_at, a.kind, a.locked_at
    FROM access_tokens t JOIN devices d USING (user_id, device_id) JOIN accounts a USING (user_id)
    WHERE t.user_id = $1 AND t.token_digest = $2`,
};

/** $3: keys by `algorithm:key ID`. */
export const UPLOAD: Statement = {
  name: 'bench_upload',
  text: `
    WITH ${TOKEN}, held AS (SELECT d.* FROM devices d JOIN token USING (user_id, device_id) FOR KEY SHARE OF d),
    added AS (
      INSERT INTO one_time_keys (user_id, device_id, algorithm, key_id, key, uploaded_at, batch)
      SELECT user_id, device_id, split_part(k.key, ':', 1), split_part(k.key, ':', 2), k.value, now(), 2
      FROM held, jsonb_each($3::jsonb) k
      ON CONFLICT DO NOTHING
      RETURNING algorithm
    )
    SELECT algorithm, count(*)::int FROM (
      SELECT algorithm FROM one_time_keys k JOIN token USING (user_id, device_id) WHERE claimed_at IS NULL
      UNION ALL SELECT algorithm FROM added
    ) all_keys GROUP BY algorithm`,
};

/** $3: users. */
export const QUERY: Statement = {
  name: 'bench_query',
  text: `
    WITH ${TOKEN}
    SELECT asked.user_id,
      (SELECT json_object_agg(k.device_id, k.keys)
       FROM device_keys k JOIN devices d USING (user_id, device_id) WHERE k.user_id = asked.user_id) AS devices,
      (SELECT json_object_agg(usage, key)
       FROM cross_signing_keys WHERE user_id = asked.user_id AND replaced_at IS NULL) AS keys,
      (SELECT json_agg(s) FROM key_signatures s
       WHERE user_id = asked.user_id AND signer_user_id IN (asked.user_id, $1)) AS signatures
    FROM token, unnest($3::text[]) AS asked (user_id) JOIN accounts USING (user_id)`,
};

/** $3, $4: users and devices. */
export const CLAIM: Statement = {
  name: 'bench_claim',
  text: `
    WITH ${TOKEN}, oldest AS MATERIALIZED (
      SELECT k.* FROM token, unnest($3::text[], $4::text[]) AS wish (user_id, device_id), LATERAL (
        SELECT user_id, device_id, algorithm, key_id FROM one_time_keys k
        WHERE k.user_id = wish.user_id AND k.device_id = wish.device_id AND algorithm = 'signed_curve25519'
          AND claimed_at IS NULL
        ORDER BY batch, key_id LIMIT 1 FOR NO KEY UPDATE
      ) k
    )
    UPDATE one_time_keys k SET claimed_at = now() FROM oldest o
    WHERE (k.user_id, k.device_id, k.algorithm, k.key_id) = (o.user_id, o.device_id, o.algorithm, o.key_id)
    RETURNING k.user_id, k.device_id, k.algorithm, k.key_id, k.key`,
};

/** $1: user, $2: device, $3: digest of the token, $4: of its family, $5: position. */
export const LOGIN: Statement = {
  name: 'bench_login',
  text: `
    WITH account AS (SELECT user_id FROM accounts WHERE user_id = $1 FOR SHARE),
    device AS (INSERT INTO devices (user_id, device_id, created_at) SELECT user_id, $2, now() FROM account),
    list AS (
      INSERT INTO device_lists AS l (user_id, position, device_position)
      SELECT user_id, $5::bigint + 1, $5::bigint + 1 FROM account
      ON CONFLICT (user_id) DO UPDATE SET position = greatest(l.position, $5::bigint) + 1,
        device_position = greatest(l.position, $5::bigint) + 1, previous_device_position = l.device_position
      RETURNING user_id, position, previous_device_position
    ),
    logged AS (
      INSERT INTO device_list_changes (user_id, position, previous_position, change, device_id)
      SELECT user_id, position, previous_device_position, 'device_created', $2 FROM list
    ),
    ${audited('account', 'session_started', '$2')},
    family AS (
      INSERT INTO session_families (user_id, family, device_id, started_at) SELECT user_id, $4, $2, now() FROM account
    )
    INSERT INTO access_tokens (user_id, token_digest, device_id, confirms_rotation, created_at)
    SELECT user_id, $3, $2, false, now() FROM account
    RETURNING user_id`,
};

/** $1: user, $2: family, $3: presented digest, $4: new refresh digest, $5: new access digest. */
export const REFRESH: Statement = {
  name: 'bench_refresh',
  text: `
    WITH rotated AS (
      UPDATE refresh_tokens SET current_digest = $4, previous_digest = $3, rotated_at = now()
      WHERE user_id = $1 AND family = $2 AND current_digest = $3
      RETURNING user_id, device_id
    )
    INSERT INTO access_tokens (user_id, token_digest, device_id, confirms_rotation, created_at, expires_at)
    SELECT user_id, $5, device_id, true, now(), now() + interval '15 minutes' FROM rotated
    RETURNING device_id`,
};
