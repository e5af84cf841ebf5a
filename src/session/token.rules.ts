import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { isStorable } from '../matrix/json-body.js';
import { localpartOf, toUserId } from '../matrix/user-id.js';

/**
 * The format of tokens: `kind_user_family+secret_checksum`. The user part lets a look-up touch only one user's rows.
 * The family is shared by the tokens of one session, so that a spent token can be told from one that never existed.
 * The checksum refuses garbage without a query. The kind lets scanners find leaked secrets. Everything after the user
 * has a fixed length, so that the parts may contain any base64url character.
 */
const TOKEN =
  /^(?<kind>mxa|mxr|mxl|mxc|mxb)_(?<user>[\w-]*)_(?<family>[\w-]{22})(?<secret>[\w-]{32})_[0-9a-f]{8}$/;

/** Access, refresh and login tokens, authorization codes, and cookies of browsers. */
export type TokenKind = 'mxa' | 'mxr' | 'mxl' | 'mxc' | 'mxb';

/** The numbers of bytes that fill the lengths above in base64url. */
export const SECRET_BYTES = 24;
export const FAMILY_BYTES = 16;

/** A token, and the digests of it that the database stores. */
export interface WireToken {
  readonly token: string;
  readonly userId: string;
  readonly digest: Buffer;
  /** What all tokens of this kind in one session share. */
  readonly family: Buffer;
  readonly familyDigest: Buffer;
  /** Identifies the session, for any kind of token. */
  readonly sessionDigest: Buffer;
}

/**
 * Derives the family of a session's access tokens from that of its refresh tokens. The reverse is not possible, so a
 * leaked access token does not help to forge a refresh token of the same session.
 */
export function accessFamily(refreshFamily: Buffer): Buffer {
  return sha256(refreshFamily).subarray(0, FAMILY_BYTES);
}

export function writeToken(kind: TokenKind, userId: string, family: Buffer, secret: Buffer): string {
  const user = encode(localpartOf(userId));
  return seal(`${kind}_${user}_${family.toString('base64url')}${secret.toString('base64url')}`);
}

/** The token's parts; `null` for anything that {@link writeToken} cannot have written. */
export function readToken(kind: TokenKind, token: string, serverName: string): WireToken | null {
  const parts = TOKEN.exec(token)?.groups;
  if (parts?.['kind'] !== kind || seal(token.slice(0, token.lastIndexOf('_'))) !== token) return null;
  const localpart = Buffer.from(parts['user']!, 'base64url').toString();
  // The checksum is not secret, so the name may still be one that no user can have.
  if (encode(localpart) !== parts['user'] || !isStorable(localpart)) return null;
  return toWireToken(
    kind,
    token,
    toUserId(localpart, serverName),
    Buffer.from(parts['family']!, 'base64url'),
  );
}

/** Writes a token with {@link writeToken}, without parsing it again. */
export function makeToken(kind: TokenKind, userId: string, family: Buffer, secret: Buffer): WireToken {
  return toWireToken(kind, writeToken(kind, userId, family, secret), userId, family);
}

export function toWireToken(kind: TokenKind, token: string, userId: string, family: Buffer): WireToken {
  return {
    token,
    userId,
    digest: sha256(token),
    family,
    // Computed on demand: most requests never need these.
    get familyDigest() {
      return sha256(family);
    },
    get sessionDigest() {
      return sha256(kind === 'mxr' ? accessFamily(family) : family);
    },
  };
}

function encode(localpart: string): string {
  return Buffer.from(localpart).toString('base64url');
}

function seal(token: string): string {
  return `${token}_${crc32(token).toString(16).padStart(8, '0')}`;
}

export function sha256(data: string | Buffer): Buffer {
  return hash('sha256', data, 'buffer');
}
