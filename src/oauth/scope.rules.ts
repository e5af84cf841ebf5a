import { isDeviceId } from '../device-rows/device.rules.js';

/** The two spellings of the scopes: that of the specification, and that of MSC2967, which Element X still uses. */
const PREFIXES = ['urn:matrix:client:', 'urn:matrix:org.matrix.msc2967.client:'];

/** What a scope token may consist of (RFC 6749, appendix A.4). */
const SCOPE_TOKEN = /^[\x21\x23-\x5B\x5D-\x7E]+$/;

/** Shorter device IDs are easily guessed or chosen twice ("Device ID allocation"). */
const DEVICE_ID = { least: 10, most: 255 };

/** What a scope must be, in words for the developer of a client. */
export const SCOPE_RULE =
  'The scope must have the client API and one device, whose ID has 10 to 255 characters, and nothing else';

/** What a client may do, and on which device. */
export interface Scope {
  /** As the client asked for it. */
  readonly text: string;
  readonly deviceId: string;
}

/**
 * Reads a scope: exactly one token for the API and one for a device, both in the same spelling. `openid`, which older
 * clients ask for, is dropped. Returns `null` for anything else ("Scope").
 */
export function readScope(text: string): Scope | null {
  const tokens = tokensOf(text);
  if (tokens.length !== 2 || !tokens.every((token) => SCOPE_TOKEN.test(token))) return null;
  for (const prefix of PREFIXES) {
    const device = `${prefix}device:`;
    const deviceId = tokens.find((token) => token.startsWith(device))?.slice(device.length) ?? '';
    const isLong = deviceId.length >= DEVICE_ID.least && deviceId.length <= DEVICE_ID.most;
    if (tokens.includes(`${prefix}api:*`) && isLong && isDeviceId(deviceId))
      return { text: tokens.join(' '), deviceId };
  }
  return null;
}

/** The tokens of a scope, each once. */
export function tokensOf(text: string): string[] {
  return [...new Set(text.split(' '))].filter((token) => token !== '' && token !== 'openid');
}
