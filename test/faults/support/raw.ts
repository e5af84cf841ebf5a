import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** What came back on a connection, and how it ended. */
export interface Reply {
  /** 0 if nothing came. */
  readonly status: number;
  readonly text: string;
  /** Whether the server closed the connection, or has answered. */
  readonly isOver: boolean;
}

/**
 * Sends bytes as they are, and waits for an answer or the end of the connection.
 *
 * @param isEnd whether nothing comes after them, so that nobody has to wait for the rest of a request
 */
export async function sendRaw(
  port: number,
  bytes: Buffer | string,
  patienceMs: number,
  isEnd = false,
): Promise<Reply> {
  const socket = await open(port);
  if (isEnd) socket.end(bytes);
  else socket.write(bytes);
  return replyOf(socket, patienceMs);
}

export async function open(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
  return socket;
}

/** Waits for the first answer on a connection. It is closed then. */
export async function replyOf(socket: Socket, patienceMs: number): Promise<Reply> {
  let text = '';
  const isOver = await new Promise<boolean>((resolve) => {
    const timer = setTimeout(() => resolve(false), patienceMs);
    const settle = () => {
      clearTimeout(timer);
      resolve(true);
    };
    if (socket.destroyed) settle();
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (isWhole(text)) settle();
    });
    socket.on('close', settle);
  });
  socket.destroy();
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0), text, isOver };
}

function isWhole(text: string): boolean {
  const [head, body] = text.split(/\r\n\r\n(.*)/s);
  const length = /^content-length: (\d+)/im.exec(head!)?.[1];
  return body !== undefined && length !== undefined && body.length >= Number(length);
}

/** What is wrong with an answer to nonsense: it must be an error of Matrix or OAuth, or a page, and none of 5xx. */
export function faultIn({ status, text, isOver }: Reply): string | null {
  if (!isOver) return 'no answer, and the connection stays open';
  if (status >= 500) return text.slice(0, 2_000);
  const [head, body = ''] = text.split(/\r\n\r\n(.*)/s);
  const isPage = /^content-type: text\/html/im.test(head!);
  const isError = /^\{"(errcode":"M_|error":"|flows":|session":|completed":)/.test(body);
  return status < 400 || isPage || isError ? null : text.slice(0, 2_000);
}
