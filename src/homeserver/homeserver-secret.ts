import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Environment, EnvironmentError } from '../config/environment.js';
import { homeserverVariables } from '../config/homeserver.js';

/** The secret that a homeserver shows. */
export class HomeserverSecret {
  private readonly digest: Buffer;

  /**
   * Reads `HOMESERVER_SECRET`, or the file that `HOMESERVER_SECRET_FILE` names.
   * @returns `null` if neither is set
   * @throws {EnvironmentError} if the file cannot be read, or its secret is too short
   */
  static load({ homeserverSecret, homeserverSecretFile }: Environment): HomeserverSecret | null {
    if (homeserverSecret !== null && homeserverSecretFile !== null)
      throw new EnvironmentError(['HOMESERVER_SECRET and HOMESERVER_SECRET_FILE must not both be set']);
    if (homeserverSecretFile === null)
      return homeserverSecret === null ? null : new HomeserverSecret(homeserverSecret);
    const { data, error } = homeserverVariables.HOMESERVER_SECRET.safeParse(textOf(homeserverSecretFile));
    if (data === undefined)
      throw new EnvironmentError([
        `HOMESERVER_SECRET_FILE must hold ${error?.issues[0]?.message ?? 'a secret'}`,
      ]);
    return new HomeserverSecret(data);
  }

  private constructor(secret: string) {
    this.digest = digestOf(secret);
  }

  /** Takes the same time whatever is presented. */
  is(presented: string): boolean {
    return timingSafeEqual(digestOf(presented), this.digest);
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
