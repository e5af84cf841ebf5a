import { randomBytes, randomInt } from 'node:crypto';
/**
 * The only source of randomness. Every value is secure enough for a secret.
 *
 * @example
 * ```ts
 * const code = this.entropy.text(6, '0123456789');
 * ```
 */
export abstract class Entropy {
  /** `size` random bytes. */
  abstract bytes(size: number): Buffer;
  /** A string of `length` characters, each drawn uniformly from `alphabet`. */
  abstract text(length: number, alphabet: string): string;
}

const POOL_BYTES = 4_096;

/**
 * The machine's randomness.
 *
 * @example
 * ```ts
 * createApplication({ environment, database, entropy: new SystemEntropy() });
 * ```
 */
export class SystemEntropy extends Entropy {
  private pool = Buffer.alloc(0);

  /** Asks the system for many bytes at once, because a call costs more than its bytes. */
  bytes(size: number): Buffer {
    if (this.pool.length < size) this.pool = randomBytes(Math.max(size, POOL_BYTES));
    const drawn = Buffer.from(this.pool.subarray(0, size));
    // Erased, because the bytes may become a secret.
    this.pool.fill(0, 0, size);
    this.pool = this.pool.subarray(size);
    return drawn;
  }

  text(length: number, alphabet: string): string {
    return Array.from({ length }, () => alphabet.charAt(randomInt(alphabet.length))).join('');
  }
}
