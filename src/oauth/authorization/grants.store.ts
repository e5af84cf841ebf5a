import { Injectable } from '@nestjs/common';
import { type DeletingOld, deletingOld } from '../../database/housekeeping.js';
import type { Statement, Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { OAuthGrantEntity } from './oauth-grant.entity.js';

/** Which grant. */
export type GrantRef = Pick<OAuthGrantEntity, 'userId' | 'grantDigest'>;

/** A grant that nobody has used. */
export type NewGrant = Omit<OAuthGrantEntity, 'usedAt' | 'sessionDigest'>;

const INSERT: Statement = {
  name: 'oauth_insert_grant',
  text: `
    INSERT INTO oauth_grants (user_id, grant_digest, client_id, scope, device_id, redirect_uri, code_challenge,
      issued_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
};
const FORGET_OLD: Statement = {
  name: 'oauth_forget_old_grants',
  text: `
    DELETE FROM oauth_grants WHERE user_id = $1 AND grant_digest IN
      (SELECT grant_digest FROM oauth_grants WHERE user_id = $1 ORDER BY issued_at DESC OFFSET $2)`,
};
const LOCK: Statement = {
  name: 'oauth_lock_grant',
  text: `
    SELECT user_id AS "userId", grant_digest AS "grantDigest", client_id AS "clientId", scope, device_id AS "deviceId",
      redirect_uri AS "redirectUri", code_challenge AS "codeChallenge", issued_at AS "issuedAt",
      expires_at AS "expiresAt", used_at AS "usedAt", session_digest AS "sessionDigest"
    FROM oauth_grants WHERE user_id = $1 AND grant_digest = $2
    FOR UPDATE`,
};
const USE: Statement = {
  name: 'oauth_use_grant',
  text: 'UPDATE oauth_grants SET used_at = $3, session_digest = $4 WHERE user_id = $1 AND grant_digest = $2',
};
const GIVE_BACK: Statement = {
  name: 'oauth_give_back',
  text: 'UPDATE oauth_grants SET used_at = NULL, session_digest = NULL WHERE user_id = $1 AND grant_digest = $2',
};
const FORGET: Statement = {
  name: 'oauth_forget_grants',
  text: 'DELETE FROM oauth_grants WHERE user_id = $1',
};

/** Far more than a user has under way. */
const MOST_GRANTS = 100;

/** The SQL of grants. */
@Injectable()
export class GrantsStore {
  /** Deletes those that were made before an instant, of all users but some. */
  readonly forgetOld: DeletingOld;

  constructor(private readonly unitOfWork: UnitOfWork) {
    this.forgetOld = deletingOld(unitOfWork, 'oauth_grants', { key: 'grant_digest', at: 'issued_at' });
  }

  /** Inserts a grant and deletes the user's oldest ones beyond the limit. */
  async insert(tx: Tx, grant: NewGrant): Promise<void> {
    const { userId, grantDigest, clientId, scope, deviceId, redirectUri, codeChallenge, issuedAt } = grant;
    const what = [clientId, scope, deviceId, redirectUri, codeChallenge];
    await tx.inOrder(
      () => tx.query(INSERT, [userId, grantDigest, ...what, issuedAt, grant.expiresAt]),
      () => tx.query(FORGET_OLD, [userId, MOST_GRANTS]),
    );
  }

  async lock(tx: Tx, { userId, grantDigest }: GrantRef): Promise<OAuthGrantEntity | null> {
    const [grant] = await tx.query<OAuthGrantEntity>(LOCK, [userId, grantDigest]);
    return grant ?? null;
  }

  /** Records that the grant began a session. */
  async use(tx: Tx, { userId, grantDigest }: GrantRef, sessionDigest: Buffer): Promise<void> {
    await tx.query(USE, [userId, grantDigest, tx.startedAt, sessionDigest]);
  }

  /** Records that the session of the grant was undone. */
  async giveBack({ userId, grantDigest }: GrantRef): Promise<void> {
    await this.unitOfWork.runOne(GIVE_BACK, [userId, grantDigest]);
  }

  /** Deletes every grant of a user. */
  async forget(tx: Tx, userId: string): Promise<void> {
    await tx.query(FORGET, [userId]);
  }
}
