import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { NextFunction, Request, Response } from 'express';

const HEADER = 'X-Request-Id';
/** What may come from outside: it gets into logs. */
const FORM = /^[\w.:/+=-]{1,128}$/;

interface Identified {
  requestId?: string;
}

/**
 * Gives the request an ID and sends it back as `X-Request-Id`: that of a trusted proxy (`TRUST_PROXY`), or a new one.
 */
export function identify(request: Request, response: Response, next: NextFunction): void {
  const requestId = idOfProxy(request) ?? randomUUID();
  (request as Identified).requestId = requestId;
  response.setHeader(HEADER, requestId);
  next();
}

/** The ID of a request; `null` if it did not come far enough to get one. */
export function requestIdOf(request: IncomingMessage): string | null {
  return (request as Identified).requestId ?? null;
}

function idOfProxy(request: Request): string | null {
  const given = request.headers['x-request-id'];
  if (typeof given !== 'string' || !FORM.test(given)) return null;
  return comesFromProxy(request, request.app) ? given : null;
}

/** Whether a proxy that is trusted (`TRUST_PROXY`) sent the request. */
export function comesFromProxy({ socket }: IncomingMessage, app: { get(name: string): unknown }): boolean {
  const trusts = app.get('trust proxy fn') as (address: string, hop: number) => boolean;
  return trusts(socket.remoteAddress ?? '', 0);
}
