import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Environment, EnvironmentError } from '../config/environment.js';
import { homeserverVariables } from '../config/homeserver.js';

const HOUR_MS = 60 * 60 * 1_000;
/** What the tokens of this service's own user begin with. */
const PREFIX = 'mxh_';

/** The secret that the homeserver and this service share. */
export class HomeserverSecret {
  private readonly digest: Buffer;

  /**
   * Reads `HOMESERVER_SECRET`, or the file that `HOMESERVER_SECRET_FILE` names.
   * @returns `null` if neither is set
   * @throws {EnvironmentError} if the file cannot be read, or its secret is too short
   */
  static load({ homeserver: { secret, secretFile } }: Environment): HomeserverSecret | null {
    if (secretFile === null) return secret === null ? null : new HomeserverSecret(secret);
    const { data, error } = homeserverVariables.HOMESERVER_SECRET.safeParse(textOf(secretFile));
    if (data === undefined)
      throw new EnvironmentError([
        `HOMESERVER_SECRET_FILE must hold ${error?.issues[0]?.message ?? 'a secret'}`,
      ]);
    return new HomeserverSecret(data);
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

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new EnvironmentError([`HOMESERVER_SECRET_FILE cannot be read: ${(error as Error).message}`]);
  }
}

function digestOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}
