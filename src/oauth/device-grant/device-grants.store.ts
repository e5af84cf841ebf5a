import { Injectable } from '@nestjs/common';
import type { Statement, Tx } from '../../database/tx.js';
import { UnitOfWork } from '../../database/unit-of-work.js';
import type { DeviceGrantState, OAuthDeviceGrantEntity } from './device-grant.entity.js';

/** A device code that nobody has decided on. */
export type NewDeviceGrant = Omit<OAuthDeviceGrantEntity, 'state' | 'userId' | 'polledAt'>;

const COLUMNS = `
  device_code_digest AS "deviceCodeDigest", user_code AS "userCode", client_id AS "clientId", scope,
  device_id AS "deviceId", state, user_id AS "userId", address, user_agent AS "userAgent", issued_at AS "issuedAt",
  expires_at AS "expiresAt", interval_ms AS "intervalMs", polled_at AS "polledAt"`;
const INSERT: Statement = {
  name: 'oauth_insert_device_grant',
  text: `
    INSERT INTO oauth_device_grants (device_code_digest, user_code, client_id, scope, device_id, state, address,
      user_agent, issued_at, expires_at, interval_ms)
    VALUES ($1, $2, $3, $4, $5, 'pending', $6, $7, $8, $9, $10)
    ON CONFLICT (user_code) DO NOTHING
    RETURNING 1`,
};
const LOCK_POLLED: Statement = {
  name: 'oauth_lock_polled',
  text: `SELECT ${COLUMNS} FROM oauth_device_grants WHERE device_code_digest = $1 AND client_id = $2 FOR UPDATE SKIP LOCKED`,
};
const IS_KNOWN: Statement = {
  name: 'oauth_is_device_grant_known',
  text: 'SELECT FROM oauth_device_grants WHERE device_code_digest = $1 AND client_id = $2',
};
const POLL: Statement = {
  name: 'oauth_poll',
  text: 'UPDATE oauth_device_grants SET polled_at = $2, interval_ms = $3 WHERE device_code_digest = $1',
};
const OPEN = "user_code = $1 AND state = 'pending' AND expires_at > $2";
const FIND_OPEN: Statement = {
  name: 'oauth_find_open',
  text: `SELECT ${COLUMNS} FROM oauth_device_grants WHERE ${OPEN}`,
};
const DECIDE: Statement = {
  name: 'oauth_decide',
  text: `UPDATE oauth_device_grants SET state = $3, user_id = $4 WHERE ${OPEN} RETURNING ${COLUMNS}`,
};

/** The SQL of device codes. */
@Injectable()
export class DeviceGrantsStore {
  constructor(private readonly unitOfWork: UnitOfWork) {}

  /** Returns `false` if another device has this user code. */
  async insert(grant: NewDeviceGrant): Promise<boolean> {
    const { deviceCodeDigest, userCode, clientId, scope, deviceId, address, userAgent, issuedAt } = grant;
    const what = [deviceCodeDigest, userCode, clientId, scope, deviceId, address, userAgent];
    const values = [...what, issuedAt, grant.expiresAt, grant.intervalMs];
    return (await this.unitOfWork.runOne(INSERT, values)).length === 1;
  }

  /** The request of a client with this device code, locked; `null` also while another question is being answered. */
  async lockPolled(
    tx: Tx,
    deviceCodeDigest: Buffer,
    clientId: string,
  ): Promise<OAuthDeviceGrantEntity | null> {
    const [grant] = await tx.query<OAuthDeviceGrantEntity>(LOCK_POLLED, [deviceCodeDigest, clientId]);
    return grant ?? null;
  }

  async isKnown(tx: Tx, deviceCodeDigest: Buffer, clientId: string): Promise<boolean> {
    return (await tx.query(IS_KNOWN, [deviceCodeDigest, clientId])).length === 1;
  }

  /** Records that the client has asked. */
  async poll(tx: Tx, deviceCodeDigest: Buffer, intervalMs: number): Promise<void> {
    await tx.query(POLL, [deviceCodeDigest, tx.startedAt, intervalMs]);
  }

  /** The request that waits for somebody to type this code. */
  async findOpen(userCode: string, now: Date): Promise<OAuthDeviceGrantEntity | null> {
    const [grant] = await this.unitOfWork.query<OAuthDeviceGrantEntity>(FIND_OPEN, [userCode, now]);
    return grant ?? null;
  }

  /** Decides on a request, once; returns it, or `null` if it does not wait any more. */
  async decide(
    tx: Tx,
    userCode: string,
    state: DeviceGrantState,
    userId: string,
  ): Promise<OAuthDeviceGrantEntity | null> {
    const values = [userCode, tx.startedAt, state, userId];
    const [grant] = await tx.query<OAuthDeviceGrantEntity>(DECIDE, values);
    return grant ?? null;
  }
}
