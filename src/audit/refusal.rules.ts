import type { Request } from 'express';
import type { Requester } from '../auth/requester.js';
import { isStorable } from '../matrix/json-body.js';
import { loggablePath } from '../matrix/loggable-path.js';
import { type ErrorAnswer, MatrixError } from '../matrix/matrix-error.js';
import { toUserId } from '../matrix/user-id.js';

/** Endpoints that begin a session, ask for a proof of identity, or are for administrators. */
const OPERATIONS: readonly RegExp[] = [
  /^POST \/login$/,
  /^POST \/oauth2\/(?:token|device|auth)$/,
  /^POST \/account\/(?:login|register|end|reset|password|deactivate)$/,
  /^(?:GET|POST) \/account\/link$/,
  /^GET \/account\/login\/return$/,
  /^POST \/_matrix\/static\/client\/login\/?$/,
  /^POST \/auth\/[^/]+\/fallback\/web$/,
  /^POST \/login\/get_token$/,
  /^POST \/refresh$/,
  /^POST \/register$/,
  /^POST \/account\/(?:password|deactivate)$/,
  /^POST \/delete_devices$/,
  /^DELETE \/devices\/[^/]+$/,
  /^POST \/keys\/device_signing\/upload$/,
  /^\w+ \/_session\/v1\/admin\//,
  /^(?:GET|PUT) \/admin\/(?:lock|suspend)\/[^/]+$/,
];
const ERRCODES: ReadonlySet<unknown> = new Set([
  'M_FORBIDDEN',
  'M_UNKNOWN_TOKEN',
  'M_USER_DEACTIVATED',
  'M_USER_LOCKED',
  'M_LIMIT_EXCEEDED',
  'M_EXCLUSIVE',
  // Of OAuth 2.0.
  'access_denied',
  'expired_token',
  'invalid_client',
  'invalid_grant',
  'unauthorized_client',
]);
const USER_ID_LIMIT = 255;

/** What is recorded about a refusal. */
export interface Refusal {
  readonly userId: string;
  readonly deviceId: string | null;
  readonly operation: string;
  readonly reason: string;
}

/** What to record about an error answer; `null` if nothing. */
export function refusalOf(request: Request, answer: ErrorAnswer, serverName: string): Refusal | null {
  const { method, path } = request;
  const operation = `${method} ${path.replace(/^\/_matrix\/client\/(?:r0|v1|v3)(?=\/)/, '')}`;
  const { errcode, error } = answer.toBody();
  const reason = errcode ?? error;
  if (typeof reason !== 'string' || !ERRCODES.has(reason)) return null;
  if (!OPERATIONS.some((pattern) => pattern.test(operation))) return null;
  const requester = (request.user as Requester | undefined) ?? null;
  // An unknown access token alone is not worth an entry, except on /refresh, where the token is the credential.
  const isMadeUp = requester === null && answer instanceof MatrixError && answer.status === 401;
  if (isMadeUp && operation !== 'POST /refresh' && reason === 'M_UNKNOWN_TOKEN') return null;
  return {
    userId: requester?.userId ?? namedIn(request.body, serverName),
    deviceId: requester?.device?.deviceId ?? null,
    operation: loggablePath(operation).slice(0, USER_ID_LIMIT),
    reason,
  };
}

/** The user that a request without a token names, unverified. Never reads a field meant for a secret. */
function namedIn(body: unknown, serverName: string): string {
  const { identifier, user, username, auth } = record(body);
  const named = [record(identifier)['user'], user, username, record(record(auth)['identifier'])['user']];
  const name = named.find((one) => typeof one === 'string');
  if (name === undefined || !isStorable(name)) return '';
  return (name.startsWith('@') ? name : toUserId(name.toLowerCase(), serverName)).slice(0, USER_ID_LIMIT);
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
