import { availableParallelism } from 'node:os';
import { hash, verify } from '@node-rs/argon2';
import pLimit from 'p-limit';

/** What a hash costs. */
export interface HashSettings {
  readonly memoryKib: number;
  readonly passes: number;
}

/** What a hash costs, and how many may be waiting. */
export interface PasswordHashing extends HashSettings {
  /** How many hashes may wait for their turn. */
  readonly queue: number;
  /** What another server appended to passwords before it made the bcrypt hashes that were imported from it. */
  readonly bcryptPepper?: string;
}

const DECOY = 'no account has this password';

/** Too many hashes are waiting: the caller should try again later. */
export class PasswordQueueFull extends Error {}

/**
 * Hashes and verifies passwords with argon2id, off the event loop. It uses at most half of the machine's cores, so
 * that a burst of logins does not starve other requests.
 */
export class PasswordHasher {
  private readonly turn = pLimit(Math.max(1, Math.floor(availableParallelism() / 2)));
  /** Hash that passwords of unknown users are compared with, so that they take as long as known ones. */
  private decoy: Promise<string> | undefined;
  /** The settings of the decoy. */
  private imitated: HashSettings;

  constructor(private readonly options: PasswordHashing) {
    this.imitated = options;
  }

  /** How many passwords are being hashed or verified now. */
  get active(): number {
    return this.turn.activeCount;
  }

  /** How many wait for their turn. */
  get waiting(): number {
    return this.turn.pendingCount;
  }

  /** @throws {PasswordQueueFull} */
  hash(password: string): Promise<string> {
    return this.inTurn(() => hashWith(this.options, password));
  }

  /**
   * Whether `password` matches `passwordHash`. Without a hash: `false`, after the same work.
   * @throws {PasswordQueueFull}
   */
  matches(passwordHash: string | null, password: string): Promise<boolean> {
    // Imported hashes cost what they cost: their users are known, and each is replaced at its next login.
    if (passwordHash !== null && isBcrypt(passwordHash))
      return this.inTurn(() => isBcryptOf(passwordHash, password + (this.options.bcryptPepper ?? '')));
    return this.inTurn(async () => {
      // Made by the first caller, whether the user exists or not, so that the delay reveals nothing.
      this.decoy ??= hashWith(this.imitated, DECOY);
      const matches = await verify(passwordHash ?? (await this.decoy), password);
      return matches && passwordHash !== null;
    });
  }

  /** Makes unknown users cost as much as hashes with these settings. Ignores invalid settings and never rejects. */
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

  /** Whether the hash costs less than the current settings require, or was made in another way. */
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

/** Loaded here, because only imported hashes need it. */
async function isBcryptOf(passwordHash: string, password: string): Promise<boolean> {
  const { default: bcrypt } = await import('@node-rs/bcrypt');
  return bcrypt.verify(password, passwordHash);
}

function isBcrypt(passwordHash: string): boolean {
  return /^\$2[aby]\$/.test(passwordHash);
}

/** The settings of a hash in the format of this service; `null` for other formats. */
export function settingsOf(passwordHash: string): HashSettings | null {
  const [, memoryKib, passes] = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=1\$/.exec(passwordHash) ?? [];
  return passes === undefined ? null : { memoryKib: Number(memoryKib), passes: Number(passes) };
}

function hashWith({ memoryKib, passes }: HashSettings, password: string): Promise<string> {
  return hash(password, { memoryCost: memoryKib, timeCost: passes, parallelism: 1 });
}
