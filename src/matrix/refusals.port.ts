import type { Request } from 'express';
import type { ErrorAnswer } from './matrix-error.js';

/** Is told of every request that is answered with an error of Matrix. It must neither throw nor be waited for. */
export abstract class Refusals {
  abstract refused(request: Request, answer: ErrorAnswer): void;
}
