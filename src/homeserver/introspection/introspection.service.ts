import { Injectable } from '@nestjs/common';
import { TokenVerifier } from '../../auth/token-verifier.port.js';
import { LastSeenService } from '../../devices/last-seen.service.js';
import { MatrixError } from '../../matrix/matrix-error.js';
import { Clock } from '../../system/clock.js';
import { HomeserverUsers } from '../homeserver-users.js';
import { Administrators } from './administrators.js';
import { type Introspection, toIntrospection } from './introspection.rules.js';
import { OAuthError } from '../../matrix/oauth-error.js';

/** A homeserver may wait for an answer without end, and its client with it. */
const LIMIT_MS = 2_000;

/** Answers whose a token is, by the same look-up as that of the bearer guard, and without a cache. */
@Injectable()
export class IntrospectionService {
  constructor(
    private readonly tokens: TokenVerifier,
    private readonly users: HomeserverUsers,
    private readonly administrators: Administrators,
    private readonly lastSeen: LastSeenService,
    private readonly clock: Clock,
  ) {}

  /** @throws {OAuthError} 503 for the token of a locked user, and if there is no answer within two seconds */
  async introspect(token: string): Promise<Introspection> {
    const now = this.clock.now();
    return this.administrators.introspect(token, now) ?? inTime(this.introspectSession(token, now));
  }

  private async introspectSession(token: string, now: Date): Promise<Introspection> {
    const verdict = await this.verdictOn(token);
    const introspection = toIntrospection(
      verdict,
      (requester) => this.administrators.include(requester),
      now,
    );
    if (verdict.kind !== 'valid' || !introspection.active) return introspection;
    const { userId, device } = verdict.requester;
    await this.requireLinked(userId);
    // The homeserver asks every two minutes while the device is in use, but not for whom.
    if (device !== null) this.lastSeen.see(device, null, undefined);
    return introspection;
  }

  /** A user of the same name there whom this service has not made is somebody else. */
  private async requireLinked(userId: string): Promise<void> {
    if (await this.users.isLinked(userId)) return;
    throw new OAuthError(503, 'temporarily_unavailable', 'The homeserver has not been told of this user yet');
  }

  private async verdictOn(token: string): ReturnType<TokenVerifier['verify']> {
    try {
      return await this.tokens.verify(token, { userId: undefined, deviceId: undefined });
    } catch (error) {
      // Only what a token says about an application service can be refused.
      if (error instanceof MatrixError) return { kind: 'unknown', deviceLives: false };
      throw error;
    }
  }
}

async function inTime<Result>(work: Promise<Result>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new OAuthError(503, 'temporarily_unavailable', 'The database does not answer in time')),
      LIMIT_MS,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
