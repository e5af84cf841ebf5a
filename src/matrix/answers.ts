import type { IncomingMessage } from 'node:http';
import type { Request } from 'express';

/** Status of a request whose client left before it was answered; nginx uses the same number. */
export const CLIENT_LEFT = 499;

/** A request and how it was answered, told when the answer has been handed to the operating system. */
export interface Answered {
  readonly request: IncomingMessage;
  /** {@link CLIENT_LEFT} if the client did not wait. */
  readonly status: number;
  readonly durationMs: number;
}

/** Must not throw; nobody waits for it. */
export type AnswerListener = (answered: Answered) => void;

/**
 * What a request is handled in. It must call `handle` at once.
 * @param isFromProxy whether it comes from a proxy that `TRUST_PROXY` trusts
 */
export type Surroundings = (request: IncomingMessage, isFromProxy: boolean, handle: () => void) => void;

/** The path of the route that handled the request, with its parameters as names: `/account/:action`. */
export function routeOf(request: IncomingMessage): string | null {
  const { path } = ((request as Request).route as { path?: unknown } | undefined) ?? {};
  return typeof path === 'string' ? path : null;
}
