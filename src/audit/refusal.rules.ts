import type { Request } from 'express';
import type { Requester } from '../auth/requester.js';
import { isStorable } from '../matrix/json-body.js';
import { type ErrorAnswer, MatrixError } from '../matrix/matrix-error.js';
import { toUserId } from '../matrix/user-id.js';

/**
 * Where a session begins, somebody proves who they are, or acts as administrator, and what of it is named without
 * an identifier.
 */
const OPERATIONS: readonly RegExp[] = [
  /^POST \/login$/,
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
]);
const USER_ID_LIMIT = 255;

/** What is remembered of a refusal. */
export interface Refusal {
  readonly userId: string;
  readonly deviceId: string | null;
  readonly operation: string;
  readonly reason: string;
}

/** What is to be remembered of an error that a request is answered with; `null`: nothing. */
export function refusalOf(request: Request, answer: ErrorAnswer, serverName: string): Refusal | null {
  const { method, path } = request;
  const operation = `${method} ${path.replace(/^\/_matrix\/client\/(?:r0|v1|v3)(?=\/)/, '')}`;
  const { errcode: reason } = answer.toBody();
  if (typeof reason !== 'string' || !ERRCODES.has(reason)) return null;
  if (!OPERATIONS.some((pattern) => pattern.test(operation))) return null;
  const requester = (request.user as Requester | undefined) ?? null;
  // A stranger's made-up token is no more than a knock at the door, unless tokens are what the endpoint takes.
  const isMadeUp = requester === null && answer instanceof MatrixError && answer.status === 401;
  if (isMadeUp && operation !== 'POST /refresh' && reason === 'M_UNKNOWN_TOKEN') return null;
  return {
    userId: requester?.userId ?? namedIn(request.body, serverName),
    deviceId: requester?.device?.deviceId ?? null,
    operation: operation.slice(0, USER_ID_LIMIT),
    reason,
  };
}

/** Whom a request without a token says it is about: a claim, no more. Never anything that could be a secret. */
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
