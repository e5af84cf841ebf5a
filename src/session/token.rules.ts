import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { localpartOf, toUserId } from '../matrix/user-id.js';

/**
 * What tokens look like on the wire. `mxa_user_secret_checksum` is an access token, `mxr_user_family+secret_checksum`
 * a refresh token; all refresh tokens of one session share their family. `mxl` is a login token. The user part lets a look-up touch one
 * user's rows only, the checksum refuses garbage without a query, and the prefix lets scanners find leaked secrets.
 * Everything right of the user has a fixed length, so that the parts may hold any character of base64url.
 */
const FORMAT = {
  mxa: /^mxa_(?<user>[\w-]*)_(?<family>)(?<secret>[\w-]{32})_[0-9a-f]{8}$/,
  mxl: /^mxl_(?<user>[\w-]*)_(?<family>)(?<secret>[\w-]{32})_[0-9a-f]{8}$/,
  mxr: /^mxr_(?<user>[\w-]*)_(?<family>[\w-]{22})(?<secret>[\w-]{32})_[0-9a-f]{8}$/,
};

export type TokenKind = keyof typeof FORMAT;

/** As many bytes as the lengths above take in base64url. */
export const SECRET_BYTES = 24;
export const FAMILY_BYTES = 16;

/** A token, and what the database keeps of it: digests. */
export interface WireToken {
  readonly token: string;
  readonly userId: string;
  readonly digest: Buffer;
  /** What the session's refresh tokens share; empty in an access token. */
  readonly family: Buffer;
  readonly familyDigest: Buffer;
}

export function writeToken(kind: TokenKind, userId: string, family: Buffer, secret: Buffer): string {
  const user = Buffer.from(localpartOf(userId)).toString('base64url');
  return seal(`${kind}_${user}_${family.toString('base64url')}${secret.toString('base64url')}`);
}

/** The token's parts; `null` for anything that {@link writeToken} did not write. */
export function readToken(kind: TokenKind, token: string, serverName: string): WireToken | null {
  const parts = FORMAT[kind].exec(token)?.groups;
  if (parts === undefined || seal(token.slice(0, token.lastIndexOf('_'))) !== token) return null;
  const family = Buffer.from(parts['family']!, 'base64url');
  return {
    token,
    userId: toUserId(Buffer.from(parts['user']!, 'base64url').toString(), serverName),
    digest: sha256(token),
    family,
    familyDigest: sha256(family),
  };
}

function seal(token: string): string {
  return `${token}_${crc32(token).toString(16).padStart(8, '0')}`;
}

function sha256(data: string | Buffer): Buffer {
  return createHash('sha256').update(data).digest();
}
