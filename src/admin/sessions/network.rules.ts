import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { MatrixError } from '../../matrix/matrix-error.js';

/**
 * Refuses what is neither an IP address nor a network.
 * @throws {MatrixError} `M_INVALID_PARAM`
 */
export function requireNetwork(text: string | undefined): void {
  if (text === undefined) return;
  const [address = '', bits] = text.split('/');
  const most = { 0: -1, 4: 32, 6: 128 }[isIP(address)]!;
  if (most === -1 || (bits !== undefined && (!/^\d{1,3}$/.test(bits) || Number(bits) > most)))
    throw MatrixError.invalidParam('address must be an IP address or a network, such as 192.0.2.0/24');
}

/** Whether an address is another one, or in a network. What a proxy or an import has left may be no address at all. */
export function isInNetwork(address: string | null, network: string): boolean {
  if (address === null || isIP(address) === 0) return false;
  const [base = '', bits] = network.split('/');
  const [one, other] = [ipaddr.process(address), ipaddr.process(base)];
  if (one.kind() !== other.kind()) return false;
  const isMapped = isIP(base) === 6 && other.kind() === 'ipv4';
  const whole = other.kind() === 'ipv4' ? 32 : 128;
  const length = bits === undefined ? whole : Number(bits) - (isMapped ? 96 : 0);
  return length >= 0 && one.match([other, length] as never);
}
