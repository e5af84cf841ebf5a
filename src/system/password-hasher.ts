import { availableParallelism } from 'node:os';
import { hash, verify } from '@node-rs/argon2';
import pLimit from 'p-limit';

/** What a hash costs, and how many may be under way. */
export interface PasswordHashing {
  readonly memoryKib: number;
  readonly passes: number;
  /** How many may wait for their turn. */
  readonly queue: number;
}

/** Too many hashes are waiting: the caller should come back later. */
export class PasswordQueueFull extends Error {}

/**
 * Hashes and verifies passwords with argon2id, off the event loop, on half of the machine's cores at the most: a
 * storm of logins must not starve other requests.
 */
export class PasswordHasher {
  private readonly turn = pLimit(Math.max(1, Math.floor(availableParallelism() / 2)));
  /** What unknown users are compared with, so that they cost as much time as known ones. */
  private decoy: string | undefined;

  constructor(private readonly options: PasswordHashing) {}

  /** How many hashes are being made now. */
  get active(): number {
    return this.turn.activeCount;
  }

  /** @throws {PasswordQueueFull} */
  hash(password: string): Promise<string> {
    return this.inTurn(() => this.hashNow(password));
  }

  /**
   * Whether `password` belongs to `passwordHash`. With no hash: `false`, after the same work.
   * @throws {PasswordQueueFull}
   */
  matches(passwordHash: string | null, password: string): Promise<boolean> {
    return this.inTurn(async () => {
      // Made by whoever comes first, so that it tells nothing of who exists.
      this.decoy ??= await this.hashNow('no account has this password');
      const matches = await verify(passwordHash ?? this.decoy, password);
      return matches && passwordHash !== null;
    });
  }

  private hashNow(password: string): Promise<string> {
    return hash(password, {
      memoryCost: this.options.memoryKib,
      timeCost: this.options.passes,
      parallelism: 1,
    });
  }

  private inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.turn.pendingCount >= this.options.queue) return Promise.reject(new PasswordQueueFull());
    return this.turn(work);
  }
}
