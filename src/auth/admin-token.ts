import { createHash, timingSafeEqual } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import type { Request } from 'express';
import { Environment } from '../config/environment.js';
import type { Requester } from './requester.js';

/** Stands for whoever holds `ADMIN_TOKEN`. It is no user ID, so no user can be taken for it. */
export const ADMIN_TOKEN_HOLDER = 'admin_token';

const HOLDER: Requester = {
  userId: ADMIN_TOKEN_HOLDER,
  device: null,
  tokenExpiresAt: null,
  tokenDigest: null,
  isGuest: false,
  isAppservice: false,
  isOAuth: false,
  isLocked: false,
  isSuspended: false,
  isAdmin: true,
};

/** The token of administrators who have no account, such as scripts. Only endpoints for administrators take it. */
@Injectable()
export class AdminToken {
  private readonly digest: Buffer | null;

  constructor({ adminToken }: Environment) {
    this.digest = adminToken === null ? null : digestOf(adminToken);
  }

  /** Who sends the request, if it has this token in its header; `null` otherwise. Its timing reveals nothing. */
  holderOf({ headersDistinct }: Request): Requester | null {
    const [header = '', ...others] = headersDistinct['authorization'] ?? [];
    const [, token] = /^bearer +(\S+)$/i.exec(header) ?? [];
    if (this.digest === null || token === undefined || others.length > 0) return null;
    return timingSafeEqual(this.digest, digestOf(token)) ? HOLDER : null;
  }
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
