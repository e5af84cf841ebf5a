import { Injectable } from '@nestjs/common';
import type { Request } from 'express';
import type { ErrorAnswer } from './matrix-error.js';

/** Must not throw; nobody waits for it. */
type RefusalListener = (request: Request, answer: ErrorAnswer) => void;

/** Tells those who want to know of every request that is answered with an error. */
@Injectable()
export class Refusals {
  private readonly listeners: RefusalListener[] = [];

  onRefusal(listener: RefusalListener): void {
    this.listeners.push(listener);
  }

  refused(request: Request, answer: ErrorAnswer): void {
    for (const listener of this.listeners) listener(request, answer);
  }
}
