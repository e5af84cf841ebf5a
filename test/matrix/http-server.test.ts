import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MatrixHttpServer } from '../../src/matrix/http-server.js';

const REQUEST = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';
/** Longer than a stopping server waits for another request. */
const LONG_MS = 1_250;

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

/** Opens a connection as a proxy keeps it: it has received an answer and is idle. */
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
  it('keeps connections open as long as requests arrive, and then closes the idle ones', async () => {
    const [first, second, third] = [await kept(), await kept(), await kept()];
    const ended = once(third, 'close');
    const stopped = service.stop(60_000);
    for (const socket of [first, second]) {
      // Write in the timer phase, in which the server's own timer runs: Node has not read this request yet.
      await sleep(1);
      socket.write(REQUEST);
      vi.advanceTimersByTime(LONG_MS);
      expect(await answered(socket)).toMatch(/^HTTP\/1.1 200 .*Connection: close/s);
    }
    vi.advanceTimersByTime(2 * LONG_MS);
    await ended;
    expect(await stopped).toBe(false);
  });

  it('closes idle connections after half of its time, even if requests still come on others', async () => {
    const [idle, ...busy] = [await kept(), await kept(), await kept(), await kept()];
    const ended = once(idle, 'close');
    // The timer of the limit itself is a real one.
    const stopped = service.stop(4 * LONG_MS);
    for (const socket of busy) {
      await sleep(1);
      socket.write(REQUEST);
      vi.advanceTimersByTime(LONG_MS);
      await answered(socket);
    }
    await ended;
    expect(await stopped).toBe(false);
  });

  it('answers connections that it has not accepted yet', async () => {
    const { port } = service.server.address() as AddressInfo;
    const sockets = Array.from({ length: 10 }, () => connect(port, '127.0.0.1'));
    for (const socket of sockets) socket.write(REQUEST);
    // The kernel has made the connections by the next tick. Node has accepted none of them.
    await new Promise((resolve) => process.nextTick(resolve));
    const answers = Promise.all(sockets.map(answered));
    const stopped = service.stop(60_000);
    for (const answer of await answers) expect(answer).toMatch(/^HTTP\/1.1 200 .*Connection: close/s);
    expect(await stopped).toBe(false);
  });
});

describe('A request that is broken', () => {
  let silent: MatrixHttpServer;
  beforeEach(async () => {
    silent = new MatrixHttpServer(() => {}, { keepAliveMs: 60_000, requestMs: 60_000 });
    silent.server.listen(0, '127.0.0.1');
    await once(silent.server, 'listening');
  });
  afterEach(() => silent.server.close());

  const send = async (head: string): Promise<string> => {
    const socket = connect((silent.server.address() as AddressInfo).port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write(`${head}Host: x\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n`);
    let answer = '';
    socket.on('data', (data: Buffer) => (answer += data.toString()));
    await once(socket, 'close');
    return answer;
  };

  it('gets an error of Matrix, but for OAuth 2.0: its clients would sign their user out', async () => {
    expect(await send('POST /_matrix/client/v3/login HTTP/1.1\r\n')).toMatch(
      /^HTTP\/1.1 400 [\s\S]*"errcode"/,
    );
    expect(await send('POST /oauth2/token HTTP/1.1\r\n')).toMatch(/^HTTP\/1.1 400 [\s\S]*\r\n\r\n$/);
  });
});
