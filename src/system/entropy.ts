import { randomBytes, randomInt } from 'node:crypto';
/**
 * The only source of randomness. Every value it gives is fit for a secret.
 *
 * @example
 * ```ts
 * const code = this.entropy.text(6, '0123456789');
 * ```
 */
export abstract class Entropy {
  /** `size` random bytes. */
  abstract bytes(size: number): Buffer;
  /** A string of `length` characters, each drawn evenly from `alphabet`. */
  abstract text(length: number, alphabet: string): string;
}

/**
 * The machine's randomness.
 *
 * @example
 * ```ts
 * createApplication({ environment, database, entropy: new SystemEntropy() });
 * ```
 */
export class SystemEntropy extends Entropy {
  bytes(size: number): Buffer {
    return randomBytes(size);
  }

  text(length: number, alphabet: string): string {
    return Array.from({ length }, () => alphabet.charAt(randomInt(alphabet.length))).join('');
  }
}
