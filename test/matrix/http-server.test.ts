import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MatrixHttpServer } from '../../src/matrix/http-server.js';

const REQUEST = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';
/** Longer than the server waits for another request. */
const LONG_MS = 250;

let service: MatrixHttpServer;

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  service = new MatrixHttpServer((_request, response) => response.end('here'), {
    keepAliveMs: 60_000,
    requestMs: 60_000,
  });
  service.server.listen(0, '127.0.0.1');
  await once(service.server, 'listening');
});
afterEach(() => {
  service.server.closeAllConnections();
  vi.useRealTimers();
});

/** A connection as a proxy keeps it: it has had an answer, and rests. */
async function kept(): Promise<Socket> {
  const socket = connect((service.server.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write(REQUEST);
  await once(socket, 'data');
  return socket;
}

async function answered(socket: Socket): Promise<string> {
  const [answer] = (await once(socket, 'data')) as [Buffer];
  return answer.toString();
}

describe('A server that stops', () => {
  it('keeps connections for as long as requests come, and then closes those that rest', async () => {
    const [first, second, third] = [await kept(), await kept(), await kept()];
    const ended = once(third, 'close');
    const stopped = service.stop(60_000);
    for (const socket of [first, second]) {
      // In the phase of timers, as the server's own timer runs: Node has not yet read what is written here.
      await sleep(1);
      socket.write(REQUEST);
      vi.advanceTimersByTime(LONG_MS);
      expect(await answered(socket)).toMatch(/^HTTP\/1.1 200 .*Connection: close/s);
    }
    vi.advanceTimersByTime(2 * LONG_MS);
    await ended;
    expect(await stopped).toBe(false);
  });
});
