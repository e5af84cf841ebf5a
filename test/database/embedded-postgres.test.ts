import { type ChildProcess, execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, readdir, readFile, readlink, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DatabaseLocation } from '../../src/database/data-source.js';
import { EmbeddedPostgres } from '../../src/database/embedded/embedded-postgres.js';
import { clientOptions } from '../../src/testing/test-postgres.js';
import { copyInstallation } from '../support/installation.js';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';

const run = promisify(execFile);
const asRoot = process.getuid?.() === 0;
const NOBODY = { uid: 65_534, gid: 65_534 };

let directory: string;
let dataDir: string;
const children: ChildProcess[] = [];

async function makeDirectory(): Promise<void> {
  directory = await temporaryDirectory();
  dataDir = join(directory, 'data');
}

async function removeDirectory(): Promise<void> {
  await killAll();
  // A server whose Node was killed may still be writing its last files.
  await rm(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
}

async function killAll(): Promise<void> {
  for (const child of children.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  }
}

async function query(location: DatabaseLocation, sql: string): Promise<Record<string, unknown>[]> {
  const client = new Client(clientOptions(location));
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Starts a process that holds the server on the data directory, from this checkout or a copy of it. */
async function hold(
  options: { installation?: string; uid?: number; gid?: number } = {},
): Promise<[ChildProcess, DatabaseLocation]> {
  const { installation = fileURLToPath(new URL('../..', import.meta.url)), ...account } = options;
  const program = join(installation, 'test/support/hold-postgres.mjs');
  const child = fork(program, [dataDir], { ...account, cwd: '/', execArgv: [] });
  children.push(child);
  const [location] = (await once(child, 'message')) as [DatabaseLocation];
  return [child, location];
}

async function serverPid(home = dataDir): Promise<number> {
  return Number((await readFile(join(home, 'postgres/postmaster.pid'), 'utf8')).split('\n')[0]);
}

const isRunning = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** Whether a process is not running, or is a zombie that its parent has not reaped yet. */
async function isGone(pid: number): Promise<boolean> {
  if (!isRunning(pid)) return true;
  return (await run('ps', ['-o', 'stat=', '-p', String(pid)])).stdout.startsWith('Z');
}

describe('The embedded PostgreSQL', () => {
  // One directory for all of these tests: creating a cluster takes longer than anything else here.
  beforeAll(makeDirectory);
  afterEach(killAll);
  afterAll(removeDirectory);

  it('is a real server, with a socket that only its owner can use and no TCP port', async () => {
    const server = await EmbeddedPostgres.start({ dataDir });
    const [settings] = await query(
      server.location,
      `SELECT current_setting('listen_addresses') AS tcp, version()`,
    );
    expect(settings).toMatchObject({ tcp: '', version: expect.stringMatching(/^PostgreSQL 1[5-9]/) });
    const { host } = server.location as { host: string };
    expect((await stat(host)).mode & 0o777).toBe(0o700);
    expect(join(host, '.s.PGSQL.5432').length).toBeLessThanOrEqual(103);
    if (asRoot) expect((await stat(host)).uid).not.toBe(0);
    await server.stop();
    await expect(stat(host)).rejects.toThrow('ENOENT');
  });

  it('keeps its data across starts', async () => {
    const first = await EmbeddedPostgres.start({ dataDir });
    await query(first.location, 'CREATE TABLE kept (n int)');
    await first.stop();
    const second = await EmbeddedPostgres.start({ dataDir });
    expect(await query(second.location, 'SELECT * FROM kept')).toEqual([]);
    await second.stop();
  });

  it('is shared by a second start on the same directory, and keeps running when that stops', async () => {
    const first = await EmbeddedPostgres.start({ dataDir });
    const second = await EmbeddedPostgres.start({ dataDir });
    expect(second.location).toEqual(first.location);
    await second.stop();
    expect(await query(first.location, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await first.stop();
  });

  it('stops within about a second after Node is killed, and leaves no socket behind', async () => {
    const [child, location] = await hold();
    const pid = await serverPid();
    child.kill('SIGKILL');
    await once(child, 'exit');
    for (let waited = 0; waited < 100 && !(await isGone(pid)); waited += 1) await sleep(50);
    expect(await isGone(pid)).toBe(true);
    await expect
      .poll(() => stat((location as { host: string }).host).catch(() => null), { timeout: 5_000 })
      .toBeNull();
  });

  it('can be started again at once after Node was killed', async () => {
    const [child, location] = await hold();
    await query(location, 'CREATE TABLE kept_by_node (n int)');
    child.kill('SIGKILL');
    const again = await EmbeddedPostgres.start({ dataDir });
    expect(await query(again.location, 'SELECT * FROM kept_by_node')).toEqual([]);
    await again.stop();
  });

  it('recovers from a kill -9 of itself', async () => {
    const first = await EmbeddedPostgres.start({ dataDir });
    await query(first.location, 'CREATE TABLE recovered (n int)');
    process.kill(await serverPid(), 'SIGKILL');
    const again = await EmbeddedPostgres.start({ dataDir });
    expect(await query(again.location, 'SELECT * FROM recovered')).toEqual([]);
    await again.stop();
  });

  it('reports at once why it cannot start', async () => {
    const started = EmbeddedPostgres.start({ dataDir, settings: { no_such_setting: 'x' } });
    await expect(started).rejects.toThrow(/unrecognized configuration parameter "no_such_setting"/);
  });
});

describe('The embedded PostgreSQL in an empty directory', () => {
  beforeEach(makeDirectory);
  afterEach(removeDirectory);

  it('is created once by several concurrent starts on an empty directory', async () => {
    const servers = await Promise.all([1, 2, 3].map(() => EmbeddedPostgres.start({ dataDir })));
    const hosts = new Set(servers.map(({ location }) => (location as { host: string }).host));
    expect(hosts.size).toBe(1);
    // Nothing incomplete is left. If the server's account cannot read the checkout, its binaries are copied once.
    const names = (await readdir(dataDir)).filter((name) => !/^postgres-\d+\.[\w.-]+$/.test(name));
    expect(names.toSorted()).toEqual(['postgres', 'postgres.log']);
    await Promise.all(servers.map((server) => server.stop()));
  });

  it('creates the links to its libraries itself if no install script ran', async () => {
    const installation = await copyInstallation(join(directory, 'installation'));
    const [, location] = await hold({ installation });
    expect(await query(location, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  if (asRoot) {
    it('runs as the current user if that is not root', async () => {
      const installation = await copyInstallation(join(directory, 'installation'));
      await mkdir(dataDir);
      await chown(dataDir, NOBODY.uid, NOBODY.gid);
      const [child, location] = await hold({ installation, ...NOBODY });
      expect((await stat((location as { host: string }).host)).uid).toBe(NOBODY.uid);
      const pid = await serverPid();
      child.kill('SIGKILL');
      await expect.poll(() => isGone(pid), { timeout: 5_000 }).toBe(true);
    });

    it('runs for root from directories that others cannot read, and says where the data is', async () => {
      const installation = await copyInstallation(join(directory, 'installation'));
      await chmod(directory, 0o700);
      const [child, location] = await hold({ installation });
      await query(location, 'CREATE TABLE kept (n int)');
      const home = await readlink(join(dataDir, 'moved-to'));
      expect(home).toMatch(/^\/var\/lib\/matrix-session-service-/);
      const pid = await serverPid(home);
      child.kill('SIGKILL');
      await expect.poll(() => isGone(pid), { timeout: 5_000 }).toBe(true);
      const [, again] = await hold({ installation });
      expect(await query(again, 'SELECT * FROM kept')).toEqual([]);
      await killAll();
      await expect
        .poll(() => stat(join(home, 'postgres/postmaster.pid')).catch(() => null), { timeout: 5_000 })
        .toBeNull();
      await rm(home, { recursive: true });
    });
  }
});
