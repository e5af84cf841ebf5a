import { Injectable } from '@nestjs/common';
import { type Batch, inSteps, type Purge } from '../../database/housekeeping.js';
import type { Statement } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { ClientMetadata } from './client-metadata.rules.js';
import type { OAuthClientEntity } from './oauth-client.entity.js';

/** A client, as those know it who serve it. */
export type Client = Pick<OAuthClientEntity, 'clientId' | 'metadata'>;

const COLUMNS = 'client_id AS "clientId", metadata';
// Each login of a web client registers it again, so the row is read often and written once a day.
const REGISTER: Statement = {
  name: 'oauth_register_client',
  text: `
    WITH made AS (
      INSERT INTO oauth_clients (client_id, metadata, registered_at, last_used_at) VALUES ($1, $2, $3, $3)
      ON CONFLICT (client_id) DO NOTHING
      RETURNING registered_at
    ), touched AS (
      UPDATE oauth_clients SET last_used_at = $3
      WHERE client_id = $1 AND last_used_at < $3::timestamptz - interval '1 day'
    )
    SELECT registered_at AS "registeredAt" FROM made
    UNION ALL SELECT registered_at FROM oauth_clients WHERE client_id = $1 LIMIT 1`,
};
const FIND: Statement = {
  name: 'oauth_find_client',
  text: `SELECT ${COLUMNS} FROM oauth_clients WHERE client_id = $1`,
};
const FIND_ALL: Statement = {
  name: 'oauth_find_clients',
  text: `SELECT ${COLUMNS} FROM oauth_clients WHERE client_id = ANY ($1::text[])`,
};
const TOUCH: Statement = {
  name: 'oauth_touch_client',
  text: `
    UPDATE oauth_clients SET last_used_at = $2
    WHERE client_id = $1 AND last_used_at < $2::timestamptz - interval '1 day'`,
};
// A client with a session or a grant is in use now. If it stayed old, each batch would look at all of these again.
// The subqueries have a limit, because otherwise the planner may read the whole of what they look into.
const PURGE: Statement = {
  name: 'oauth_clients_purge',
  text: `
    WITH old AS MATERIALIZED (
      SELECT ctid, client_id, last_used_at FROM oauth_clients WHERE last_used_at < $1 AND last_used_at >= $3
      ORDER BY last_used_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ), looked AS MATERIALIZED (
      SELECT ctid, last_used_at, coalesce(
        (SELECT true FROM refresh_tokens r WHERE r.oauth_client_id = old.client_id LIMIT 1),
        (SELECT true FROM oauth_grants g WHERE g.client_id = old.client_id LIMIT 1),
        (SELECT true FROM oauth_device_grants g WHERE g.client_id = old.client_id LIMIT 1), false) AS is_used
      FROM old
    ), kept AS (
      UPDATE oauth_clients SET last_used_at = $4
      WHERE ctid = ANY (ARRAY(SELECT ctid FROM looked WHERE is_used))
    ), removed AS (
      DELETE FROM oauth_clients WHERE ctid = ANY (ARRAY(SELECT ctid FROM looked WHERE NOT is_used)) RETURNING 1
    )
    SELECT count(*)::int AS looked, (SELECT count(*)::int FROM removed) AS removed, max(last_used_at)::text AS last
    FROM looked`,
};

/** The SQL of clients. */
@Injectable()
export class ClientsStore {
  private readonly purgeOld: Purge;

  constructor(private readonly unitOfWork: UnitOfWork) {
    this.purgeOld = inSteps(unitOfWork, PURGE, '-infinity');
  }

  /** Stores the client unless it is known; returns when it was first registered. */
  async register(clientId: string, metadata: ClientMetadata, now: Date): Promise<Date> {
    const values = [clientId, JSON.stringify(metadata), now];
    const [row] = await this.unitOfWork.runOne<{ registeredAt: Date }>(REGISTER, values);
    return row?.registeredAt ?? now;
  }

  async find(clientId: string): Promise<Client | null> {
    const [client] = await this.unitOfWork.query<Client>(FIND, [clientId]);
    return client ?? null;
  }

  findAll(clientIds: readonly string[]): Promise<Client[]> {
    return this.unitOfWork.query<Client>(FIND_ALL, [clientIds]);
  }

  /** Records that the client is in use. */
  async touch(clientId: string, now: Date): Promise<void> {
    await this.unitOfWork.runOne(TOUCH, [clientId, now]);
  }

  /**
   * Looks at no more than `limit` clients that nobody has used since `before`. Deletes those without a session or a
   * grant, and records that the others are in use.
   */
  purge(before: Date, limit: number, now: Date): Promise<Batch> {
    return this.purgeOld(before, limit, now);
  }
}
