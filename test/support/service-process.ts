import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import request from 'supertest';
import { MatrixClient } from '../../src/testing/matrix-client.js';

const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

/** Returns a port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The built service in its own process, as an operator starts it. */
export class ServiceProcess {
  static async start(variables: Readonly<Record<string, string>>): Promise<ServiceProcess> {
    const port = variables['PORT'] ?? String(await freePort());
    const env = {
      PATH: process.env['PATH'],
      REGISTRATION: 'open',
      RATE_LIMITS: 'off',
      PASSWORD_HASH_MEMORY_KIB: '8192',
      PASSWORD_HASH_PASSES: '1',
      ...variables,
      PORT: port,
    };
    const child = spawn(process.execPath, [main], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const service = new ServiceProcess(child, `http://127.0.0.1:${port}`);
    await service.says(/listens on/);
    return service;
  }

  /** All output so far. */
  words = '';
  /** Resolves with the exit code and the signal. */
  readonly ended: Promise<[number | null, NodeJS.Signals | null]>;

  private constructor(
    readonly child: ChildProcess,
    readonly url: string,
  ) {
    this.ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    for (const stream of [child.stdout!, child.stderr!])
      stream.on('data', (chunk: Buffer) => (this.words += chunk.toString()));
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  get http(): ReturnType<typeof request> {
    return request(this.url);
  }

  get matrix(): MatrixClient {
    return new MatrixClient(this.http);
  }

  /** Resolves when the output matches the pattern. */
  async says(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.words)) {
      if (!this.isRunning) throw new Error(`The service ended: ${this.words}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Stops the process as an operator would, and returns its exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.isRunning) this.child.kill(signal);
    return (await this.ended)[0];
  }
}
