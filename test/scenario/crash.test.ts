import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import request from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MatrixClient, someKeys } from '../../src/testing/matrix-client.js';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';

let dataDir: string;
let service: ChildProcess | undefined;

beforeAll(async () => {
  dataDir = await temporaryDirectory();
});
afterAll(async () => {
  if (service !== undefined) await stop(service);
  await rm(dataDir, { recursive: true, force: true });
});

async function start(crash: boolean): Promise<string> {
  const program = new URL('../support/crash-during-logout.mjs', import.meta.url);
  service = fork(program, {
    env: { PATH: process.env['PATH'], DATA_DIR: dataDir, LOG_LEVEL: 'fatal', CRASH: crash ? 'yes' : 'no' },
    execArgv: [],
  });
  const [{ url }] = (await once(service, 'message')) as [{ url: string }];
  return url;
}

async function stop(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const gone = once(process, 'exit');
  process.kill('SIGTERM');
  await gone;
}

describe('If the process is killed between the deletions and the commit of a logout', () => {
  it.each(['logout', 'logoutAll'] as const)(
    '%s: after a restart nothing has changed, and the session can be ended',
    async (endpoint) => {
      const client = (url: string) => new MatrixClient(request(url));
      const crashing = await start(true);
      const session = await client(crashing).register({ refresh_token: true });
      await client(crashing).uploadKeys(session, someKeys(session)).expect(200);

      const killed = once(service!, 'exit');
      const logout = client(crashing)[endpoint](session);
      const answer = await logout.then(
        ({ status }) => status,
        () => 'connection lost',
      );
      expect(answer).toBe('connection lost');
      expect(await killed).toEqual([null, 'SIGKILL']);

      const restarted = await start(false);
      expect(await client(restarted).whoami(session)).toMatchObject({ status: 200 });
      expect(Object.keys(await client(restarted).queryKeys(session, session.userId))).toEqual([
        session.deviceId,
      ]);
      const { body } = await client(restarted).uploadKeys(session, {}).expect(200);
      expect(body).toEqual({ one_time_key_counts: { signed_curve25519: 3 } });
      await client(restarted)[endpoint](session).expect(200, {});
      expect(await client(restarted).whoami(session)).toMatchObject({ status: 401 });
      await stop(service!);
    },
  );
});
