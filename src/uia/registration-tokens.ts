import { createHash, timingSafeEqual } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { Environment } from '../config/environment.js';

/** The registration tokens that the operator has given out. */
@Injectable()
export class RegistrationTokens {
  private readonly digests: readonly Buffer[];

  constructor({ registrationTokens }: Environment) {
    this.digests = registrationTokens.map(digest);
  }

  /** Whether the token is valid. Its timing reveals nothing about the valid ones. */
  isValid(token: string): boolean {
    const presented = digest(token);
    return this.digests.filter((known) => timingSafeEqual(known, presented)).length > 0;
  }
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
