import { crc32 } from 'node:zlib';
import { toUserId } from '../../matrix/user-id.js';
import { FAMILY_BYTES, sha256, type TokenKind, toWireToken, type WireToken } from '../token.rules.js';

/** `syt_user_random_checksum` and `syr_…`: what Synapse issues since version 1.30, with the localpart in base64. */
const TOKEN = /^sy(?<kind>[tr])_(?<user>[A-Za-z0-9+/]*)_[A-Za-z]{20}_(?<checksum>[0-9A-Za-z]{6})$/;
const KINDS: Readonly<Partial<Record<TokenKind, string>>> = { mxa: 't', mxr: 'r' };
/** Older ones are macaroons that name the user. They begin with the length of their first packet. */
const MACAROON = /^MDA[\w-]{100,1000}=*$/;
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/**
 * The parts of a token that Synapse issued before its sessions were imported; `null` for anything else. Only imported
 * tokens are in the database, so any other token of this form is unknown. Each token is a family of its own.
 */
export function readSynapseToken(kind: TokenKind, token: string, serverName: string): WireToken | null {
  const userId = userOf(kind, token, serverName);
  return userId === null ? null : toWireToken(kind, token, userId, familyOf(token));
}

/** The family of an imported token. */
export function familyOf(token: string): Buffer {
  return sha256(`imported ${token}`).subarray(0, FAMILY_BYTES);
}

function userOf(kind: TokenKind, token: string, serverName: string): string | null {
  const parts = TOKEN.exec(token)?.groups;
  if (parts === undefined) return kind === 'mxa' ? userOfMacaroon(token, serverName) : null;
  const body = token.slice(0, token.lastIndexOf('_'));
  if (parts['kind'] !== KINDS[kind] || parts['checksum'] !== base62(crc32(body))) return null;
  const localpart = Buffer.from(parts['user']!, 'base64').toString();
  return isSafe(localpart) ? toUserId(localpart, serverName) : null;
}

function userOfMacaroon(token: string, serverName: string): string | null {
  if (!MACAROON.test(token)) return null;
  const text = Buffer.from(token, 'base64url').toString('latin1');
  const [, userId = ''] = /cid user_id = (@[^\n]{1,254})\n/.exec(text) ?? [];
  return userId.endsWith(`:${serverName}`) && isSafe(userId) ? userId : null;
}

/** The characters of user IDs, historical ones included. */
function isSafe(text: string): boolean {
  return /^[\x21-\x7E]{1,255}$/.test(text);
}

function base62(number: number): string {
  let digits = '';
  for (let left = number; left > 0; left = Math.floor(left / 62)) digits = BASE62[left % 62]! + digits;
  return digits.padStart(6, '0');
}
