import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { Environment } from '../config/environment.js';

const HOUR_MS = 60 * 60 * 1_000;
/** What the tokens of this service's own user begin with. */
const PREFIX = 'mxh_';

/** The secret that the homeserver and this service share. */
export class HomeserverSecret {
  private readonly digest: Buffer;

  /** `null` if there is none. */
  static of({ homeserver: { secret } }: Environment): HomeserverSecret | null {
    return secret === null ? null : new HomeserverSecret(secret);
  }

  private constructor(private readonly secret: string) {
    this.digest = digestOf(secret);
  }

  /** Takes the same time whatever is presented. */
  is(presented: string): boolean {
    return timingSafeEqual(digestOf(presented), this.digest);
  }

  /** The header with which the homeserver is called. */
  get authorization(): string {
    return `Bearer ${this.secret}`;
  }

  /**
   * The access token of this service's own user at the homeserver. It is stored nowhere: every node derives the same
   * one, and it is valid in this hour and the next.
   */
  administratorToken(now: Date): string {
    return this.tokenOfHour(Math.floor(now.getTime() / HOUR_MS));
  }

  isAdministratorToken(presented: string, now: Date): boolean {
    if (!presented.startsWith(PREFIX)) return false;
    const hour = Math.floor(now.getTime() / HOUR_MS);
    return [hour, hour - 1].some((one) =>
      timingSafeEqual(digestOf(presented), digestOf(this.tokenOfHour(one))),
    );
  }

  private tokenOfHour(hour: number): string {
    return `${PREFIX}${createHmac('sha256', this.secret).update(`administrator ${hour}`).digest('base64url')}`;
  }
}

function digestOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}
