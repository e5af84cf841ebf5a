import { Injectable } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import { Entropy } from '../system/entropy.js';
import {
  FAMILY_BYTES,
  readToken,
  SECRET_BYTES,
  type TokenKind,
  type WireToken,
  writeToken,
} from './token.rules.js';

/** Makes tokens, and reads those of this server. */
@Injectable()
export class TokenIssuer {
  constructor(
    private readonly entropy: Entropy,
    private readonly environment: Environment,
  ) {}

  /** How long an access token lives whose client can refresh it. */
  get accessTokenTtlMs(): number {
    return this.environment.accessTokenTtlMs;
  }

  access(userId: string): WireToken {
    return this.write('mxa', userId, Buffer.alloc(0));
  }

  /** A refresh token of a given family, or the first one of a new family. */
  refresh(userId: string, family = this.entropy.bytes(FAMILY_BYTES)): WireToken {
    return this.write('mxr', userId, family);
  }

  /** The token's parts, or `null` when this server never made it. */
  read(kind: TokenKind, token: string): WireToken | null {
    return readToken(kind, token, this.environment.serverName);
  }

  private write(kind: TokenKind, userId: string, family: Buffer): WireToken {
    return this.read(kind, writeToken(kind, userId, family, this.entropy.bytes(SECRET_BYTES)))!;
  }
}
