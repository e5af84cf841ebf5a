import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, Logger } from '@nestjs/common';
import type { Request, Response } from 'express';
import { unavailableIn } from '../system/outage.js';
import { FailureAnswer, logFailure } from './failures.js';
import { send } from './http-server.js';
import { type Errcode, ErrorAnswer, MatrixError } from './matrix-error.js';
import { Refusals } from './refusals.js';

/** The `errcode` of an `HttpException` that Nest or another team's module throws. */
const ERRCODE_OF_STATUS: Readonly<Record<number, Errcode>> = {
  400: 'M_INVALID_PARAM',
  403: 'M_FORBIDDEN',
  404: 'M_NOT_FOUND',
  413: 'M_TOO_LARGE',
  429: 'M_LIMIT_EXCEEDED',
};

/** Turns everything that was thrown into a Matrix error body. */
@Catch()
export class MatrixExceptionFilter implements ExceptionFilter {
  private readonly logger = new Logger(MatrixExceptionFilter.name);

  constructor(private readonly refusals: Refusals) {}

  catch(exception: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<Request>();
    const response = http.getResponse<Response>();
    let answer = toAnswer(exception, request);
    // An outage of the database or the homeserver is logged once, not by every request that fails because of it.
    if (answer.status >= 500 && answer.status !== 503)
      answer = new FailureAnswer(answer, logFailure(this.logger, request, exception));
    this.refusals.refused(request, answer);
    if (response.headersSent) {
      response.end();
    } else {
      send(response, answer);
    }
  }
}

function toAnswer(exception: unknown, request: Request): ErrorAnswer {
  if (exception instanceof ErrorAnswer) return exception;
  const unavailable = unavailableIn(exception);
  if (unavailable !== undefined) return new TryLater(unavailable.retryAfterMs);
  if (!(exception instanceof HttpException))
    return new MatrixError(500, 'M_UNKNOWN', 'Internal server error');
  const status = exception.getStatus();
  // No route was found, as opposed to a handler that found nothing.
  if (status === 404 && !isHandled(request)) return unrecognized(request);
  return new MatrixError(status, ERRCODE_OF_STATUS[status] ?? 'M_UNKNOWN', exception.message);
}

class TryLater extends MatrixError {
  override readonly headers: Readonly<Record<string, string>>;

  constructor(retryAfterMs: number) {
    super(503, 'M_UNKNOWN', 'The service is not available at the moment: try again');
    this.headers = { 'Retry-After': String(Math.ceil(retryAfterMs / 1_000)) };
  }
}

interface Route {
  readonly methods: Readonly<Record<string, boolean>>;
}

/** Whether a route handled the request. For HEAD, Express sets a route even if that has no handler. */
function isHandled({ route, method }: Request): boolean {
  const { methods } = (route as Route | undefined) ?? { methods: {} };
  return methods[method.toLowerCase()] === true || (method === 'HEAD' && methods['get'] === true);
}

/** 405 if the path is known for another method, otherwise 404 ("Common error codes", `M_UNRECOGNIZED`). */
function unrecognized(request: Request): ErrorAnswer {
  // The type declarations of Express 5 lack `match`.
  const layers = request.app.router.stack as unknown as { route?: Route; match(path: string): boolean }[];
  const known = layers
    .filter(({ route }) => route !== undefined)
    .filter((layer) => layer.match(request.path));
  if (known.length === 0) return new MatrixError(404, 'M_UNRECOGNIZED', 'Unknown endpoint');
  const allowed = known
    .flatMap(({ route }) => Object.keys(route!.methods))
    .map((method) => method.toUpperCase());
  return new MethodNotAllowed(request.method, [...new Set(allowed)]);
}

class MethodNotAllowed extends MatrixError {
  override readonly headers: Readonly<Record<string, string>>;

  constructor(method: string, allowed: readonly string[]) {
    super(405, 'M_UNRECOGNIZED', `This endpoint does not allow ${method}`);
    this.headers = { Allow: allowed.join(', ') };
  }
}
