import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { someKeys } from '../../src/testing/matrix-client.js';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { OwnPostgres } from '../support/own-postgres.js';
import { freePort, ServiceProcess } from '../support/service-process.js';

// Runs only if PGBOUNCER names the program, as in CI.
let postgres: OwnPostgres;
let directory: string;
let pooler: ChildProcess | undefined;
let url: string;

beforeAll(async () => {
  postgres = await OwnPostgres.start();
  directory = await temporaryDirectory();
});
afterEach(async () => {
  if (pooler?.exitCode === null) {
    pooler.kill('SIGKILL');
    await once(pooler, 'exit');
  }
});
afterAll(async () => {
  await postgres?.stop();
  await rm(directory, { recursive: true, force: true });
});

async function startPooler(mode: string, more = ''): Promise<void> {
  const port = await freePort();
  url = `postgresql://postgres@127.0.0.1:${port}/postgres`;
  const [file, users] = [join(directory, 'pgbouncer.ini'), join(directory, 'users.txt')];
  await writeFile(users, '"postgres" ""\n');
  await writeFile(
    file,
    `[databases]
     * = host=127.0.0.1 port=${postgres.port} user=postgres
     [pgbouncer]
     listen_addr = 127.0.0.1
     listen_port = ${port}
     unix_socket_dir =
     auth_type = trust
     auth_file = ${users}
     pool_mode = ${mode}
     max_client_conn = 200
     default_pool_size = 20
     ${more}
    `.replace(/^ +/gm, ''),
  );
  await Promise.all([file, users].map((path) => chmod(path, 0o644)));
  const asNobody = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
  pooler = spawn(process.env['PGBOUNCER']!, [...asNobody, file], { stdio: 'ignore' });
  await vi.waitFor(
    async () => {
      const client = new Client({ connectionString: url });
      client.on('error', () => {});
      await client.connect();
      await client.end();
    },
    { timeout: 5_000 },
  );
}

describe('Behind PgBouncer', () => {
  it('in session mode, the service works', async () => {
    await startPooler('session');
    const service = await ServiceProcess.start({ DATABASE_URL: url });
    try {
      const sessions = await Promise.all(
        Array.from({ length: 20 }, () => service.matrix.register({ refresh_token: true })),
      );
      for (let round = 0; round < 5; round += 1) {
        const answers = await Promise.all(
          sessions.flatMap((session) => [
            service.matrix.whoami(session),
            service.matrix.uploadKeys(session, someKeys(session)),
            service.matrix.call(session, 'get', '/devices'),
          ]),
        );
        expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
      }
      const logouts = await Promise.all(sessions.map((session) => service.matrix.logout(session)));
      expect(new Set(logouts.map(({ status }) => status))).toEqual(new Set([200]));
    } finally {
      await service.stop('SIGKILL');
    }
  });

  it.each([
    ['transaction', ''],
    ['transaction', 'ignore_startup_parameters = options'],
    ['transaction', 'server_round_robin = 1'],
    ['statement', ''],
  ])('in %s mode, with "%s", the service does not start, and says what to configure', async (mode, more) => {
    await startPooler(mode, more);
    const refused = await ServiceProcess.start({ DATABASE_URL: url }).then(
      () => 'it started',
      (error: unknown) => String(error),
    );
    expect(refused).toContain('set pool_mode = session');
    expect(refused).not.toContain('    at ');
  });
});
