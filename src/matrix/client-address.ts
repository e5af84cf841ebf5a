import { isIP } from 'node:net';
import type { Request } from 'express';
import ipaddr from 'ipaddr.js';

/** The address of a client whose connection has closed already. */
const UNKNOWN = 'unknown';

/**
 * An address in normal form, without port, brackets or zone. An IPv4-mapped IPv6 address becomes an IPv4 address.
 * `null` if the text is not an address.
 */
export function toAddress(text: string): string | null {
  const trimmed = text.trim();
  const [, bracketed] = /^\[([^\]]+)\](?::\d{1,5})?$/.exec(trimmed) ?? [];
  const [, withPort] = /^(\d[\d.]+):\d{1,5}$/.exec(trimmed) ?? [];
  const address = (bracketed ?? withPort ?? trimmed).replace(/%.*$/, '');
  // The library accepts unusual spellings: it reads 0x7f.1 as 127.0.0.1.
  return isIP(address) === 0 ? null : ipaddr.process(address).toString();
}

/** The network that one subscriber has: the first 64 bits of an IPv6 address. Anything else is returned unchanged. */
export function networkOf(address: string): string {
  if (isIP(address) !== 6) return address;
  const [network] = ipaddr.IPv6.networkAddressFromCIDR(`${address}/64`).toString().split('%');
  return `${network}/64`;
}

/**
 * The address of the client in normal form. Proxies are trusted as far as `TRUST_PROXY` says. If a trusted proxy
 * sends something that is not an address, the proxy itself counts as the client.
 */
export function clientAddressOf(request: Request): string {
  const { remoteAddress = '' } = request.socket;
  let address = toAddress(remoteAddress) ?? UNKNOWN;
  const forwarded = request.headers['x-forwarded-for'];
  if (forwarded === undefined) return address;
  const trusts = request.app.get('trust proxy fn') as (address: string, hop: number) => boolean;
  const hops = String(forwarded).split(',').toReversed();
  for (const [hop, text] of hops.entries()) {
    const next = trusts(address, hop) ? toAddress(text) : null;
    if (next === null) break;
    address = next;
  }
  return address;
}
