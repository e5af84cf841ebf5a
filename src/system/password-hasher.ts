import { Injectable } from '@nestjs/common';
import { hash, verify } from '@node-rs/argon2';

/** OWASP's first choice for argon2id: 19 MiB, two passes, one lane. */
const ARGON2ID = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };

/** Hashes and verifies passwords with argon2id, off the event loop. */
@Injectable()
export class PasswordHasher {
  /** What unknown users are compared with, so that they cost as much time as known ones. */
  private decoy: Promise<string> | undefined;

  hash(password: string): Promise<string> {
    return hash(password, ARGON2ID);
  }

  /** Whether `password` belongs to `passwordHash`. With no hash: `false`, after the same work. */
  async matches(passwordHash: string | null, password: string): Promise<boolean> {
    if (passwordHash === null) {
      this.decoy ??= this.hash('no account has this password');
      await verify(await this.decoy, password);
      return false;
    }
    return verify(passwordHash, password);
  }
}
