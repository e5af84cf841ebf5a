import { availableParallelism } from 'node:os';
import { hash, verify } from '@node-rs/argon2';
import pLimit from 'p-limit';

/** What a hash costs. */
export interface HashSettings {
  readonly memoryKib: number;
  readonly passes: number;
}

/** What a hash costs, and how many may be under way. */
export interface PasswordHashing extends HashSettings {
  /** How many may wait for their turn. */
  readonly queue: number;
}

const DECOY = 'no account has this password';

/** Too many hashes are waiting: the caller should come back later. */
export class PasswordQueueFull extends Error {}

/**
 * Hashes and verifies passwords with argon2id, off the event loop, on half of the machine's cores at the most: a
 * storm of logins must not starve other requests.
 */
export class PasswordHasher {
  private readonly turn = pLimit(Math.max(1, Math.floor(availableParallelism() / 2)));
  /** What unknown users are compared with, so that they cost as much time as known ones. */
  private decoy: Promise<string> | undefined;
  /** What the decoy is made with. */
  private imitated: HashSettings;

  constructor(private readonly options: PasswordHashing) {
    this.imitated = options;
  }

  /** How many hashes are being made now. */
  get active(): number {
    return this.turn.activeCount;
  }

  /** @throws {PasswordQueueFull} */
  hash(password: string): Promise<string> {
    return this.inTurn(() => hashWith(this.options, password));
  }

  /**
   * Whether `password` belongs to `passwordHash`. With no hash: `false`, after the same work.
   * @throws {PasswordQueueFull}
   */
  matches(passwordHash: string | null, password: string): Promise<boolean> {
    return this.inTurn(async () => {
      // Made by whoever comes first, so that it tells nothing of who exists.
      this.decoy ??= hashWith(this.imitated, DECOY);
      const matches = await verify(passwordHash ?? (await this.decoy), password);
      return matches && passwordHash !== null;
    });
  }

  /**
   * Has unknown users cost what hashes of these settings do. It never rejects: settings that cannot be are left
   * alone.
   */
  async imitate(settings: HashSettings): Promise<void> {
    const { memoryKib, passes } = this.imitated;
    if (settings.memoryKib === memoryKib && settings.passes === passes) return;
    const decoy = hashWith(settings, DECOY);
    try {
      await decoy;
    } catch {
      return;
    }
    this.imitated = settings;
    this.decoy = decoy;
  }

  /** Whether the hash costs less than today's settings want, or was made in another way. */
  isOutdated(passwordHash: string): boolean {
    const settings = settingsOf(passwordHash);
    return (
      settings === null || settings.memoryKib * settings.passes < this.options.memoryKib * this.options.passes
    );
  }

  private inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.turn.pendingCount >= this.options.queue) return Promise.reject(new PasswordQueueFull());
    return this.turn(work);
  }
}

/** What a hash was made with, as far as this service makes them so; `null` for others. */
export function settingsOf(passwordHash: string): HashSettings | null {
  const [, memoryKib, passes] = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=1\$/.exec(passwordHash) ?? [];
  return passes === undefined ? null : { memoryKib: Number(memoryKib), passes: Number(passes) };
}

function hashWith({ memoryKib, passes }: HashSettings, password: string): Promise<string> {
  return hash(password, { memoryCost: memoryKib, timeCost: passes, parallelism: 1 });
}
