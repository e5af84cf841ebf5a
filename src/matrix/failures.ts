import { randomUUID } from 'node:crypto';
import type { Logger } from '@nestjs/common';
import type { Request } from 'express';
import { stackOf } from '../system/stack.js';
import { loggablePath } from './loggable-path.js';
import { ErrorAnswer } from './matrix-error.js';
import { requestIdOf } from './request-id.js';

/**
 * Logs why a request failed, and returns the `errorId` under which the log has it. The answer carries it, too, so that
 * a user can name it to an administrator.
 */
export function logFailure(logger: Logger, request: Request, exception: unknown): string {
  const errorId = randomUUID();
  const { method, path } = request;
  logger.error(
    `${method} ${loggablePath(path)} failed (errorId ${errorId}, request ${requestIdOf(request)})`,
    stackOf(exception),
  );
  return errorId;
}

/** The answer to a request that failed through no fault of the client. */
export class FailureAnswer extends ErrorAnswer {
  override readonly status: number;
  override readonly headers: Readonly<Record<string, string>>;

  constructor(
    private readonly answer: ErrorAnswer,
    private readonly errorId: string,
  ) {
    super(answer.message);
    this.status = answer.status;
    this.headers = answer.headers;
  }

  override toBody(): Record<string, unknown> {
    return { ...this.answer.toBody(), errorId: this.errorId };
  }
}
