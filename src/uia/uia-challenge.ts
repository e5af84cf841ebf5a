import type { Flow } from './uia-flows.port.js';
import { ErrorAnswer, type MatrixError } from '../matrix/matrix-error.js';

/**
 * 401: the request is valid but must be authorised first. It has no `errcode` unless a stage was tried and failed.
 */
export class UiaChallenge extends ErrorAnswer {
  readonly status = 401;

  constructor(
    private readonly session: string,
    private readonly flows: readonly Flow[],
    private readonly completed: readonly string[],
    private readonly failure: MatrixError | null = null,
    private readonly params: Readonly<Record<string, object>> = {},
  ) {
    super('User-interactive authentication is needed');
  }

  toBody(): Record<string, unknown> {
    return {
      ...(this.failure === null ? {} : { errcode: this.failure.errcode, error: this.failure.message }),
      ...(this.completed.length === 0 ? {} : { completed: this.completed }),
      flows: this.flows.map((stages) => ({ stages })),
      params: this.params,
      session: this.session,
    };
  }
}
