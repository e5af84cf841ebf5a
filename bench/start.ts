import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Arena } from './arena.js';
import { median } from './report.js';
import { temporaryDirectory } from '../src/testing/test-postgres.js';

/** How soon the service answers, and what it holds. */
export interface Start {
  readonly database: 'embedded' | 'url';
  /** From the start of the process to the first answer, median, in milliseconds. */
  readonly firstAnswerMs: number;
  /** Resident memory of the service's process after the first answer, and {@link REST_MS} of rest, in megabytes. */
  readonly idleMb: number;
  /** What {@link CONNECTIONS} idle connections add. */
  readonly connectionsMb: number;
}

const CONNECTIONS = 2_000;
const REST_MS = 2_000;
export const MAIN = new URL('../../../dist/main.js', import.meta.url).pathname;
const VERSIONS = '/_matrix/client/versions';

/**
 * Starts the service as an operator does: on an embedded server whose data are there already, and on a database of
 * the arena's server.
 */
export async function start(arena: Arena, rounds: number): Promise<Start[]> {
  const directory = await temporaryDirectory();
  const empty = await arena.neighbour();
  const results: Start[] = [];
  const kinds = {
    embedded: { DATA_DIR: join(directory, 'data'), DATABASE_URL: '' },
    url: { DATABASE_URL: empty.url },
  } as const;
  for (const database of ['embedded', 'url'] as const) {
    const runs: Omit<Start, 'database'>[] = [];
    for (let round = -1; round < rounds; round += 1) {
      const run = await startOnce(kinds[database]);
      // The first makes the data, or fills the caches.
      if (round >= 0) runs.push(run);
    }
    const of = (key: 'firstAnswerMs' | 'idleMb' | 'connectionsMb') => median(runs.map((run) => run[key]));
    const result = {
      database,
      firstAnswerMs: of('firstAnswerMs'),
      idleMb: of('idleMb'),
      connectionsMb: of('connectionsMb'),
    };
    results.push(result);
    const goal = database === 'embedded' ? 2_500 : 1_000;
    const verdict = (reached: boolean) => (reached ? 'reached' : 'wanted');
    console.log(
      `start on ${database}: first answer ${result.firstAnswerMs.toFixed(0)} ms (${verdict(result.firstAnswerMs <= goal)} ${goal}), ` +
        `idle ${result.idleMb.toFixed(0)} MB (${verdict(result.idleMb <= 150)} 150), ` +
        `${CONNECTIONS} idle connections ${result.connectionsMb.toFixed(0)} MB (${verdict(result.connectionsMb <= 100)} 100)`,
    );
  }
  await empty.close();
  await rm(directory, { recursive: true, force: true });
  return results;
}

async function startOnce(environment: Record<string, string>): Promise<Omit<Start, 'database'>> {
  const port = await freePort();
  const started = performance.now();
  const child = spawn(process.execPath, [MAIN], {
    env: { ...process.env, ...environment, HOST: '127.0.0.1', PORT: String(port), LOG_LEVEL: 'error' },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  try {
    while (!(await answers(port))) {
      if (child.exitCode !== null) throw new Error('The service did not start');
      await sleep(5);
    }
    const firstAnswerMs = performance.now() - started;
    await sleep(REST_MS);
    const idle = await residentMb(child.pid!);
    const sockets = await openIdle(port);
    const connected = await residentMb(child.pid!);
    sockets.forEach((socket) => socket.destroy());
    return { firstAnswerMs, idleMb: idle, connectionsMb: connected - idle };
  } finally {
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'exit');
  }
}

export async function answers(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}${VERSIONS}`)).ok;
  } catch {
    return false;
  }
}

/** Connections that have had one answer each and are kept alive. */
async function openIdle(port: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < CONNECTIONS) {
    const some = Array.from({ length: 100 }, () => connect(port, '127.0.0.1'));
    await Promise.all(
      some.map(async (socket) => {
        socket.write(`GET ${VERSIONS} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
        await once(socket, 'data');
      }),
    );
    sockets.push(...some);
  }
  return sockets;
}

async function residentMb(pid: number): Promise<number> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)]);
  return Number(stdout) / 1024;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
