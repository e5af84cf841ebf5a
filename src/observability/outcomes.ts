import { CLIENT_R0, CLIENT_V1, CLIENT_V3 } from '../matrix/client-api.decorators.js';

/** How a request came out: a limit was reached, the client was refused for another reason, or the service failed. */
export const RESULTS = ['ok', 'refused', 'limited', 'failed'] as const;
export type Result = (typeof RESULTS)[number];

/** A counter of what requests wanted, by kind and result. */
export interface OutcomeCounter {
  readonly name: string;
  readonly help: string;
  /** The kind that a route counts as, by method and path. */
  readonly kinds: Readonly<Record<string, string>>;
}

const ADMIN = '/_session/v1/admin';

/** A route of the client-server API, under each prefix that it has. */
function client(method: string, path: string, kind: string): Record<string, string> {
  return Object.fromEntries([CLIENT_V3, CLIENT_R0].map((prefix) => [`${method} /${prefix}/${path}`, kind]));
}

/** What operators watch most. A challenge of interactive authentication counts as refused. */
export const OUTCOMES: readonly OutcomeCounter[] = [
  {
    name: 'session_logouts_total',
    help: 'Requests to end sessions, by kind and result.',
    kinds: {
      ...client('POST', 'logout', 'logout'),
      ...client('POST', 'logout/all', 'logout_all'),
      ...client('DELETE', 'devices/:deviceId', 'device_deleted'),
      ...client('POST', 'delete_devices', 'device_deleted'),
      ...client('POST', 'account/deactivate', 'deactivated'),
      'POST /oauth2/revoke': 'revoked',
      'POST /account/end': 'account_page',
      'POST /account/deactivate': 'account_page',
      [`POST ${ADMIN}/users/:userId/logout`]: 'admin',
      [`POST ${ADMIN}/sessions/end`]: 'admin',
      [`POST ${ADMIN}/users/:userId/deactivate`]: 'admin',
      [`PUT ${ADMIN}/users/:userId/password`]: 'admin',
    },
  },
  {
    name: 'session_logins_total',
    help: 'Logins, registrations included, by kind and result. Those by OAuth 2.0 count where they get their tokens.',
    kinds: {
      ...client('POST', 'login', 'login'),
      ...client('POST', 'register', 'register'),
      'POST /account/login': 'account_page',
      'POST /account/register': 'account_page',
    },
  },
  {
    name: 'session_refreshes_total',
    help: 'Refreshes of access tokens, by kind and result.',
    kinds: client('POST', 'refresh', 'refresh'),
  },
  {
    name: 'session_login_tokens_total',
    help: 'Requests for a login token for another device, by kind and result.',
    kinds: { [`POST /${CLIENT_V1}/login/get_token`]: 'login_token' },
  },
];

/** The result that a status stands for. */
export function resultOf(status: number): Result {
  if (status < 400) return 'ok';
  if (status === 429) return 'limited';
  return status < 500 ? 'refused' : 'failed';
}
