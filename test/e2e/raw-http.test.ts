import { type AddressInfo, connect, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { V3 } from '../../src/testing/matrix-client.js';
import { useApp } from '../support/test-app.js';

const app = useApp({ variables: { REQUEST_TIMEOUT: '1s' } });

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

function open(): Socket {
  const { port } = app().nest.getHttpServer().address() as AddressInfo;
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  sockets.push(socket);
  return socket;
}

/** Resolves with the first of these events. */
function first(socket: Socket, ...events: string[]): Promise<void> {
  return new Promise((resolve) => {
    for (const event of events) socket.once(event, () => resolve());
  });
}

/** Reads the first answer on a connection, or whatever was sent before the service closed it. */
async function answerOn(socket: Socket): Promise<{ status: number; body: unknown; headers: string }> {
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const isWhole = () => {
    const [, length] = /content-length: (\d+)/i.exec(text) ?? [];
    return length !== undefined && text.split('\r\n\r\n').slice(1).join('\r\n\r\n').length >= Number(length);
  };
  while (!isWhole() && !socket.closed) await first(socket, 'data', 'close');
  const [headers = '', body = ''] = text.split('\r\n\r\n');
  return { status: Number(headers.split(' ')[1]), body: JSON.parse(body), headers };
}

const MATRIX_ERROR = { errcode: expect.stringMatching(/^M_/), error: expect.any(String) };
const HEAD = `POST ${V3}/register HTTP/1.1\r\nHost: x\r\n`;

describe('Answers that come from Node are Matrix errors', () => {
  it.each([
    ['what is no HTTP', 'hello\r\n\r\n', 400],
    ['a request without Host', `GET /_matrix/client/versions HTTP/1.1\r\n\r\n`, 400],
    ['CONNECT', `CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n`, 405],
    ['a header without a name', `${HEAD}: x\r\n\r\n`, 400],
    ['two lengths', `${HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`, 400],
    ['headers that are too large', `${HEAD}X: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    ['an Expect that nobody knows', `${HEAD}Expect: the-unexpected\r\nContent-Length: 0\r\n\r\n`, 417],
  ])('to %s', async (_, request, status) => {
    const socket = open();
    socket.write(request);
    const answer = await answerOn(socket);
    expect(answer).toMatchObject({ status, body: MATRIX_ERROR });
    expect(answer.headers).toMatch(/content-type: application\/json\r\n/i);
    expect(answer.headers).toMatch(/access-control-allow-origin: \*/i);
  });

  it.each([
    ['headers', HEAD, 'X: y\r\n'],
    ['a body', `${HEAD}Content-Length: 1000\r\n\r\n{`, ' '],
    ['a chunked body', `${HEAD}Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`, '1\r\n \r\n'],
  ])(
    'to %s that arrive more slowly than the request timeout allows, after which the connection is closed',
    async (_, request, drop) => {
      const socket = open();
      socket.write(request);
      const drip = setInterval(() => socket.write(drop), 100);
      try {
        const answer = await answerOn(socket);
        expect(answer).toMatchObject({ status: 408, body: MATRIX_ERROR });
        if (!socket.closed) await first(socket, 'close');
      } finally {
        clearInterval(drip);
      }
    },
  );
});

describe('A request body', () => {
  it('that is chunked and endless gets 413 at the size limit, and the connection is closed', async () => {
    const socket = open();
    socket.write(`${HEAD}Transfer-Encoding: chunked\r\n\r\n`);
    const block = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
    let isOver = false;
    socket.once('close', () => (isOver = true));
    const flood = (async () => {
      while (!isOver) {
        if (!socket.write(block)) await first(socket, 'drain', 'close');
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    expect(await answerOn(socket)).toMatchObject({ status: 413, body: { errcode: 'M_TOO_LARGE' } });
    await flood;
  });

  it('is refused before it is sent if its Content-Length exceeds the limit', async () => {
    const socket = open();
    socket.write(`${HEAD}Content-Length: 2000000\r\n\r\n{`);
    expect(await answerOn(socket)).toMatchObject({ status: 413, body: { errcode: 'M_TOO_LARGE' } });
  });

  it('is refused if it exceeds the limit after decompression', async () => {
    const bomb = gzipSync(Buffer.alloc(50_000_000, ' '));
    const socket = open();
    socket.write(`${HEAD}Content-Encoding: gzip\r\nContent-Length: ${bomb.length}\r\n\r\n`);
    socket.write(bomb);
    expect(await answerOn(socket)).toMatchObject({ status: 413, body: { errcode: 'M_TOO_LARGE' } });
  });

  it.each(['zstd2', 'constructor', '__proto__', 'valueOf', 'toString'])(
    'is refused with the unknown Content-Encoding %s',
    async (encoding) => {
      const socket = open();
      socket.write(`${HEAD}Content-Encoding: ${encoding}\r\nContent-Length: 2\r\n\r\n{}`);
      expect(await answerOn(socket)).toMatchObject({ status: 415, body: MATRIX_ERROR });
    },
  );

  it('may end in the middle of compressed data without harm to the service', async () => {
    const socket = open();
    socket.write(`${HEAD}Content-Encoding: gzip\r\nContent-Length: 100\r\n\r\n`);
    socket.write(gzipSync('{"username":"x"}').subarray(0, 12));
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.destroy();
    await app().http.get(`${V3}/account/whoami`).expect(401);
  });
});
