import { randomBytes } from 'node:crypto';
import type { Pool, QueryResultRow } from 'pg';
import type { Statement } from '../../src/database/tx.js';
import {
  accessFamily,
  FAMILY_BYTES,
  readToken,
  SECRET_BYTES,
  writeToken,
  type WireToken,
} from '../../src/session/token.rules.js';
import { SERVER_NAME } from '../seed.js';
import * as statements from './statements.js';

/** What a bare server knows of a request. */
export interface BareRequest {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: Record<string, unknown>;
}

type Answer = readonly [status: number, body: object];
const UNKNOWN: Answer = [401, { errcode: 'M_UNKNOWN_TOKEN', error: 'Unknown token' }];

const now = () => Date.now() * 1_000;

function newToken(
  kind: 'mxa' | 'mxr',
  userId: string,
  family: Buffer = randomBytes(FAMILY_BYTES),
): WireToken {
  return readToken(kind, writeToken(kind, userId, family, randomBytes(SECRET_BYTES)), SERVER_NAME)!;
}

/** The endpoints without a framework: the token is read, one statement runs, an object is answered. */
export function bareEndpoints(pool: Pool) {
  const query = async (statement: Statement, values: unknown[]): Promise<QueryResultRow[]> =>
    (await pool.query({ ...statement, values })).rows;
  const v3 = (name: string) => `/_matrix/client/v3/${name}`;

  const authenticated: Record<string, (token: WireToken, body: BareRequest['body']) => Promise<Answer>> = {
    [v3('logout')]: async ({ userId, digest }) => {
      const rows = await query(statements.LOGOUT, [userId, digest, now()]);
      return rows.length === 0 ? UNKNOWN : [200, {}];
    },
    [v3('logout/all')]: async ({ userId, digest }) => {
      const rows = await query(statements.LOGOUT_ALL, [userId, digest, now()]);
      return rows.length === 0 ? UNKNOWN : [200, {}];
    },
    [v3('account/whoami')]: async ({ userId, digest }) => {
      const [row] = await query(statements.WHOAMI, [userId, digest]);
      return row === undefined
        ? UNKNOWN
        : [200, { user_id: userId, device_id: row['device_id'], is_guest: row['kind'] === 'guest' }];
    },
    [v3('keys/upload')]: async ({ userId, digest }, { one_time_keys }) => {
      const rows = await query(statements.UPLOAD, [userId, digest, JSON.stringify(one_time_keys)]);
      return [
        200,
        { one_time_key_counts: Object.fromEntries(rows.map((row) => [row['algorithm'], row['count']])) },
      ];
    },
    [v3('keys/query')]: async ({ userId, digest }, { device_keys }) => {
      const rows = await query(statements.QUERY, [userId, digest, Object.keys(device_keys as object)]);
      return [200, { device_keys: Object.fromEntries(rows.map((row) => [row['user_id'], row['devices']])) }];
    },
    [v3('keys/claim')]: async ({ userId, digest }, { one_time_keys }) => {
      const [[user, devices] = ['', {}]] = Object.entries(one_time_keys as Record<string, object>);
      const [device] = Object.keys(devices);
      const [row] = await query(statements.CLAIM, [userId, digest, [user], [device]]);
      const key =
        row === undefined ? {} : { [`${row['algorithm']}:${row['key_id']}`]: row['key'] as unknown };
      return [200, { one_time_keys: { [user]: { [device!]: key } } }];
    },
  };
  const open: Record<string, (body: BareRequest['body']) => Promise<Answer>> = {
    [v3('login')]: async ({ identifier }) => {
      const { user: userId } = identifier as { user: string };
      const device = randomBytes(8).toString('hex');
      const token = newToken('mxa', userId);
      await query(statements.LOGIN, [userId, device, token.digest, token.sessionDigest, now()]);
      return [200, { user_id: userId, device_id: device, access_token: token.token }];
    },
    [v3('refresh')]: async ({ refresh_token }) => {
      const old = readToken('mxr', String(refresh_token), SERVER_NAME);
      if (old === null) return UNKNOWN;
      const refresh = newToken('mxr', old.userId, old.family);
      const access = newToken('mxa', old.userId, accessFamily(old.family));
      const values = [old.userId, old.familyDigest, old.digest, refresh.digest, access.digest];
      const rows = await query(statements.REFRESH, values);
      return rows.length === 0
        ? UNKNOWN
        : [200, { access_token: access.token, refresh_token: refresh.token, expires_in_ms: 900_000 }];
    },
  };

  return async ({ path, authorization, body }: BareRequest): Promise<Answer> => {
    if (open[path] !== undefined) return open[path](body);
    const token = readToken('mxa', authorization?.slice('Bearer '.length) ?? '', SERVER_NAME);
    return token === null ? UNKNOWN : authenticated[path]!(token, body);
  };
}

/** Which endpoints read a body. */
export function takesBody(path: string): boolean {
  return !/\/(logout|logout\/all|whoami)$/.test(path);
}
