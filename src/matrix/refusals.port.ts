import type { Request } from 'express';
import type { ErrorAnswer } from './matrix-error.js';

/** Called for every request that is answered with an error. It must not throw, and nobody waits for it. */
export abstract class Refusals {
  abstract refused(request: Request, answer: ErrorAnswer): void;
}
