import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import request from 'supertest';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { commandLine } from '../support/command-line.js';
import { freePort, ServiceProcess } from '../support/service-process.js';

let dataDir: string;
let service: ServiceProcess;
let management: ReturnType<typeof request>;

beforeEach(async () => {
  dataDir = await temporaryDirectory();
  const port = await freePort();
  management = request(`http://127.0.0.1:${port}`);
  service = await ServiceProcess.start({ DATA_DIR: dataDir, WORKERS: '2', METRICS_PORT: String(port) });
});
afterEach(async () => {
  await service.stop('SIGKILL');
  await rm(dataDir, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
});

/** The processes that serve. */
async function workers(): Promise<number[]> {
  const { stdout } = await promisify(execFile)('ps', [
    '-o',
    'pid=,args=',
    '--ppid',
    String(service.child.pid),
  ]);
  const lines = stdout.split('\n').filter((line) => line.includes('main.js'));
  return lines.map((line) => Number.parseInt(line, 10));
}

async function counted(metric: string): Promise<number> {
  const { text } = await management.get('/metrics').expect(200);
  const line = text.split('\n').find((one) => one.startsWith(`${metric} `));
  return Number(line?.slice(metric.length + 1));
}

/** Resolves when a value is what it should be. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 50));
}

const VERSIONS = 'session_http_requests_total{method="GET",route="/_matrix/client/versions",status="200"}';
const ask = (times: number) =>
  Promise.all(Array.from({ length: times }, () => service.http.get('/_matrix/client/versions').expect(200)));

describe('Several workers', () => {
  it('serve one port together, and stop together', async () => {
    expect(await workers()).toHaveLength(2);
    const session = await service.matrix.register();
    await service.matrix.logout(session).expect(200);
    for (let nth = 0; nth < 10; nth += 1) expect((await service.matrix.whoami(session)).status).toBe(401);
    expect(service.words.match(/listens on/g)).toHaveLength(1);
    const pids = await workers();
    expect(await service.stop()).toBe(0);
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });

  it('are one in their metrics, which do not fall when a worker dies', async () => {
    await ask(40);
    expect(await counted(VERSIONS)).toBe(40);
    expect(await counted('session_database_pool_size')).toBe(20);
    const [first, ...others] = await workers();
    process.kill(first!, 'SIGKILL');
    await service.says(/has ended \(SIGKILL\)\. Another takes its place/);
    expect(await counted(VERSIONS)).toBe(40);
    await until(async () => (await counted('session_workers')) === 2);
    expect(await workers()).toEqual(expect.arrayContaining(others));
    await ask(20);
    expect(await counted(VERSIONS)).toBe(60);
    expect(await counted('session_worker_exits_total')).toBe(1);
    const started = await counted('process_start_time_seconds');
    // Both at once.
    for (const pid of await workers()) process.kill(pid, 'SIGKILL');
    await until(async () => (await counted('session_worker_exits_total')) === 3);
    expect(await counted(VERSIONS)).toBe(60);
    expect(await counted('process_start_time_seconds')).toBe(started);
  });

  it('go on serving while one of them is dead: each new connection is answered', async () => {
    for (let nth = 0; nth < 3; nth += 1) {
      const [first] = await workers();
      process.kill(first!, 'SIGKILL');
      for (let asked = 0; asked < 5; asked += 1)
        await service.http.get('/health/live').timeout(5_000).expect(200);
      await until(async () => (await counted('session_database_pool_size')) === 20);
    }
  });

  it('share health and log level', async () => {
    await management.get('/health/ready').expect(200);
    await management.put('/log-level').send({ level: 'debug' }).expect(200, { level: 'debug' });
    await until(async () => service.words.match(/The log level is debug now/g)?.length === 2);
    process.kill(service.child.pid!, 'SIGUSR2');
    await until(async () => service.words.match(/The log level is info now/g)?.length === 2);
    // A new worker is told, too.
    await management.put('/log-level').send({ level: 'debug' }).expect(200);
    process.kill((await workers())[0]!, 'SIGKILL');
    await until(async () => service.words.match(/The log level is debug now/g)?.length === 5);
    await management.get('/elsewhere').expect(404);
    await management.put('/log-level').send({ level: 'loud' }).expect(400);
  });

  it('end with their primary, and the embedded server with them', async () => {
    const pids = await workers();
    service.child.kill('SIGKILL');
    for (const pid of pids) {
      await until(async () => {
        try {
          process.kill(pid, 0);
          return false;
        } catch {
          return true;
        }
      });
    }
    await expect(service.http.get('/health/live')).rejects.toThrow('ECONNREFUSED');
  });

  it('say once why they cannot start, and exit with 1', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const start = (taken: Record<string, string>) =>
      commandLine({ DATA_DIR: dataDir, WORKERS: '2', PORT: '0', ...taken })();
    const { code, err } = await start({ PORT: String(port) });
    expect([code, err.match(/PORT is in use/g)]).toEqual([1, ['PORT is in use']]);
    const second = await start({ METRICS_PORT: String(port) });
    other.close();
    expect([second.code, second.err]).toEqual([1, expect.stringContaining('METRICS_PORT must be free')]);
  });
});
