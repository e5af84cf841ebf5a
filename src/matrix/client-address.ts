import { isIP } from 'node:net';
import type { Request } from 'express';
import ipaddr from 'ipaddr.js';

/** Of a client whose connection is gone already. */
const UNKNOWN = 'unknown';

/**
 * An address in its one spelling, without port, brackets or zone; an IPv4 address in IPv6's clothes is an IPv4
 * address. `null` for what is no address.
 */
export function toAddress(text: string): string | null {
  const trimmed = text.trim();
  const [, bracketed] = /^\[([^\]]+)\](?::\d{1,5})?$/.exec(trimmed) ?? [];
  const [, withPort] = /^(\d[\d.]+):\d{1,5}$/.exec(trimmed) ?? [];
  const address = (bracketed ?? withPort ?? trimmed).replace(/%.*$/, '');
  // The library takes more for an address than anybody writes: 0x7f.1 is 127.0.0.1 to it.
  return isIP(address) === 0 ? null : ipaddr.process(address).toString();
}

/** The network of an address that one subscriber has: of IPv6 the first 64 bits. Anything else stays what it is. */
export function networkOf(address: string): string {
  if (isIP(address) !== 6) return address;
  const [network] = ipaddr.IPv6.networkAddressFromCIDR(`${address}/64`).toString().split('%');
  return `${network}/64`;
}

/**
 * The address of the client in its one spelling; behind proxies as far as `TRUST_PROXY` says. What a proxy says is
 * taken for an address only when it is one: otherwise the client is whoever said it.
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
