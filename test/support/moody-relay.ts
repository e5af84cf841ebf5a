import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** How a {@link MoodyRelay} treats what comes to it. */
export type Mood =
  | 'well'
  /** Closes connections at once. */
  | 'down'
  /** Takes requests and never answers. */
  | 'hanging'
  /** Answers 500 to everything. */
  | 'broken'
  /** Passes everything on, but late. */
  | 'slow';

const SLOW_MS = 2_000;
const BROKEN = 'HTTP/1.1 500 Oops\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}';

/** Stands in front of a server and makes it seem ill. */
export class MoodyRelay {
  private mood: Mood = 'well';
  private readonly sockets = new Set<Socket>();

  static async start(target: number): Promise<MoodyRelay> {
    const relay: MoodyRelay = new MoodyRelay(
      createServer((socket) => relay.serve(socket)).listen(0, '127.0.0.1'),
      target,
    );
    await once(relay.server, 'listening');
    return relay;
  }

  private constructor(
    private readonly server: Server,
    private target: number,
  ) {}

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Also ends the connections that are open. */
  become(mood: Mood): void {
    this.mood = mood;
    for (const socket of this.sockets) socket.destroy();
  }

  /** Passes on to another server from now on. Also ends the connections that are open. */
  lead(target: number): void {
    this.target = target;
    this.become(this.mood);
  }

  stop(): void {
    this.become('down');
    this.server.close();
  }

  private serve(socket: Socket): void {
    const { mood } = this;
    this.keep(socket);
    if (mood === 'down') socket.destroy();
    else if (mood === 'broken') socket.on('data', () => socket.write(BROKEN));
    else if (mood !== 'hanging') this.pass(socket, mood === 'slow' ? SLOW_MS : 0);
  }

  private pass(socket: Socket, delayMs: number): void {
    const upstream = connect(this.target, '127.0.0.1');
    this.keep(upstream);
    socket.on('data', async (chunk) => {
      if (delayMs > 0) await sleep(delayMs);
      upstream.write(chunk);
    });
    upstream.pipe(socket);
    upstream.on('close', () => socket.destroy());
    socket.on('close', () => upstream.destroy());
  }

  private keep(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => {}).on('close', () => this.sockets.delete(socket));
  }
}
