import { Injectable } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import { Clock } from '../system/clock.js';
import { Entropy } from '../system/entropy.js';
import type { RefreshTokenEntity } from './refresh-token.entity.js';
import { chooseDeviceId } from '../device-rows/device.rules.js';
import { type Rotation, rotationOf, type TokenPair } from './session.rules.js';
import { readSynapseToken } from './import/synapse-token.rules.js';
import {
  accessFamily,
  FAMILY_BYTES,
  makeToken,
  readToken,
  SECRET_BYTES,
  type TokenKind,
  type WireToken,
} from './token.rules.js';

/** Makes tokens and device IDs, and reads the tokens of this server. */
@Injectable()
export class TokenIssuer {
  constructor(
    private readonly entropy: Entropy,
    private readonly environment: Environment,
    private readonly clock: Clock,
  ) {}

  /** Whether a session that was started and last refreshed at these times may still be refreshed. */
  isRefreshable({ createdAt, rotatedAt }: { createdAt: Date; rotatedAt: Date }, now: Date): boolean {
    const { refreshTokenTtlMs, refreshTokenIdleTtlMs } = this.environment;
    const isWithin = (since: Date, limit: number | null) =>
      limit === null || now.getTime() - since.getTime() < limit;
    return isWithin(createdAt, refreshTokenTtlMs) && isWithin(rotatedAt, refreshTokenIdleTtlMs);
  }

  /** What presenting a refresh token of a known session means. */
  rotationOf(session: RefreshTokenEntity, digest: Buffer, now: Date): Rotation {
    return rotationOf(session, digest, new Date(now.getTime() - this.environment.refreshReplayGraceMs));
  }

  /**
   * After which times a session must have started and last been refreshed to be refreshable at `then`; `null`: no
   * limit.
   */
  refreshableSince(then: Date): { begun: Date | null; refreshed: Date | null } {
    const { refreshTokenTtlMs, refreshTokenIdleTtlMs } = this.environment;
    const ago = (limit: number | null) => (limit === null ? null : new Date(then.getTime() - limit));
    return { begun: ago(refreshTokenTtlMs), refreshed: ago(refreshTokenIdleTtlMs) };
  }

  /**
   * The device ID the client asks for, or a new one.
   * @throws {MatrixError} `M_INVALID_PARAM`
   */
  deviceId(wanted: string | undefined): string {
    return chooseDeviceId(wanted, this.entropy);
  }

  /** Issues a token, in a new family unless one is given. */
  issue(kind: TokenKind, userId: string, family = this.entropy.bytes(FAMILY_BYTES)): WireToken {
    return makeToken(kind, userId, family, this.entropy.bytes(SECRET_BYTES));
  }

  /** Issues tokens for a client that can refresh, for a new session unless a refresh-token family is given. */
  issuePair(userId: string, family?: Buffer, now = this.clock.now()): TokenPair {
    const refresh = this.issue('mxr', userId, family);
    const access = this.issue('mxa', userId, accessFamily(refresh.family));
    const { accessTokenTtlMs: lifetimeMs } = this.environment;
    return { access, refresh, lifetimeMs, expiresAt: new Date(now.getTime() + lifetimeMs) };
  }

  /** Issues a token that does not expire, for a client that cannot refresh. */
  issueLasting(userId: string): TokenPair {
    return { access: this.issue('mxa', userId), refresh: null, lifetimeMs: null, expiresAt: null };
  }

  /** Returns the token's parts; `null` if neither this server nor the Synapse before it can have issued it. */
  read(kind: TokenKind, token: string): WireToken | null {
    const { serverName } = this.environment;
    return readToken(kind, token, serverName) ?? readSynapseToken(kind, token, serverName);
  }
}
