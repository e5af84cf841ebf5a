import { type ArgumentsHost, Catch, type ExceptionFilter, Injectable, Logger } from '@nestjs/common';
import type { Request, Response } from 'express';
import { FailureAnswer, logFailure } from '../matrix/failures.js';
import { send } from '../matrix/http-server.js';
import { ErrorAnswer, LimitExceeded, MatrixError } from '../matrix/matrix-error.js';
import { OAuthError } from '../matrix/oauth-error.js';
import { Refusals } from '../matrix/refusals.js';
import { unavailableIn } from '../system/outage.js';

const RETRY_AFTER_S = 2;

/**
 * Turns everything that was thrown into an error of OAuth 2.0. Clients sign their user out when the token endpoint
 * answers with a Matrix error, or with a 4xx for a limit, so limits are 503 here.
 */
@Catch()
@Injectable()
export class OAuthExceptionFilter implements ExceptionFilter {
  private readonly logger = new Logger(OAuthExceptionFilter.name);

  constructor(private readonly refusals: Refusals) {}

  catch(exception: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<Request>();
    const response = http.getResponse<Response>();
    let answer = toOAuthError(exception);
    if (answer.status === 500)
      answer = new FailureAnswer(answer, logFailure(this.logger, request, exception));
    this.refusals.refused(request, answer);
    if (response.headersSent) response.end();
    else send(response, answer);
  }
}

function toOAuthError(exception: unknown): ErrorAnswer {
  // A route that is switched off is unknown, as elsewhere.
  if (exception instanceof MatrixError && exception.errcode === 'M_UNRECOGNIZED') return exception;
  if (exception instanceof OAuthError) return exception;
  const unavailable = unavailableIn(exception);
  if (unavailable !== undefined) return later(Math.ceil(unavailable.retryAfterMs / 1_000));
  if (exception instanceof LimitExceeded)
    return later(Number(exception.headers['Retry-After'] ?? RETRY_AFTER_S));
  if (exception instanceof ErrorAnswer && exception.status === 503)
    return later(Number(exception.headers['Retry-After'] ?? RETRY_AFTER_S));
  if (exception instanceof MatrixError && exception.status < 500)
    return new OAuthError(exception.status === 413 ? 413 : 400, 'invalid_request', ascii(exception.message));
  return new OAuthError(500, 'server_error', 'Internal server error');
}

function later(seconds: number): OAuthError {
  return new OAuthError(503, 'temporarily_unavailable', 'Try again later', {
    'Retry-After': String(seconds),
  });
}

/** The characters that a description may have (RFC 6749, section 5.2). */
function ascii(text: string): string {
  return text.replaceAll(/[^\x20-\x21\x23-\x5B\x5D-\x7E]/g, '');
}
