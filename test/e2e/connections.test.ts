import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { useApp } from '../support/test-app.js';

const MOST = 10;
const app = useApp({ variables: { MAX_CONNECTIONS: String(MOST) } });

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** Sends a request on a connection of its own, which stays open, and returns the answer. */
async function ask(): Promise<string> {
  const { port } = app().nest.getHttpServer().address() as AddressInfo;
  const socket = connect(port, '127.0.0.1');
  sockets.push(socket);
  socket.write('GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\n\r\n');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  return answer.toString();
}

describe('MAX_CONNECTIONS', () => {
  it('bounds how many are open: a further one gets 503, and the others are served', async () => {
    for (let nth = 0; nth < MOST; nth += 1) expect(await ask()).toMatch(/^HTTP\/1\.1 200 /);
    const refused = await ask();
    expect(refused).toMatch(/^HTTP\/1\.1 503 .*\r\nConnection: close\r\n/s);
    expect(refused).toMatch(/Retry-After: 1\r\n/);
    expect(JSON.parse(refused.split('\r\n\r\n')[1]!)).toEqual({
      errcode: 'M_UNKNOWN',
      error: expect.stringContaining('too many connections'),
    });
    const [first] = sockets;
    first!.write('GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(String((await once(first!, 'data'))[0])).toMatch(/^HTTP\/1\.1 200 /);
    first!.destroy();
    // The place of a connection that is closed is free again.
    let answer = '';
    while (!answer.startsWith('HTTP/1.1 200 ')) answer = await ask();
    expect(answer).toContain('"versions"');
  });
});
