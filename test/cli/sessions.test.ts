import { beforeAll, describe, expect, it } from 'vitest';
import type { ClientSession } from '../../src/testing/matrix-client.js';
import { commandLine, linesOf, type Outcome } from '../support/command-line.js';
import { urlOf } from '../support/database.js';
import { useApp } from '../support/test-app.js';

const app = useApp();
let run: (...words: string[]) => Promise<Outcome>;
const json = async (...words: string[]) => linesOf(await run(...words, '--json'));
const isAlive = async (session: ClientSession) => (await app().matrix.whoami(session)).status === 200;

beforeAll(() => {
  run = commandLine({ DATABASE_URL: urlOf(app().database) });
});

describe('matrix-session sessions', () => {
  it('lists those that meet every condition', async () => {
    const user = await app().matrix.register();
    await app().matrix.login(user.userId);
    const [{ sessions } = {}] = await json(
      'sessions',
      'list',
      '--user',
      user.userId,
      '--device-id',
      user.deviceId,
    );
    expect(sessions).toMatchObject([{ user_id: user.userId, device_id: user.deviceId, kind: 'user' }]);
    expect((await run('sessions', 'list', '--user', user.userId)).out.trim().split('\n')).toHaveLength(3);
    expect(await json('sessions', 'list', '--user', user.userId, '--created-before', '30d')).toEqual([
      { sessions: [] },
    ]);
  });

  it('ends all that meet them but those that are excepted, and waits for it', async () => {
    const [user, other] = [await app().matrix.register(), await app().matrix.register()];
    const kept = await app().matrix.login(user.userId);
    const end = ['sessions', 'end', '--user', user.userId, '--except', `${user.userId}/${kept.deviceId}`];
    expect(await json(...end, '--dry-run')).toMatchObject([{ dry_run: true, count: 1 }]);
    expect((await run(...end, '--dry-run')).out).toMatch(/1 session would end\.\n$/);
    expect(await run(...end)).toMatchObject({ code: 1, err: expect.stringContaining('End 1 session?') });
    expect(await isAlive(user)).toBe(true);
    const [job] = await json(...end, '--reason', 'a lost phone', '--yes');
    expect(job).toMatchObject({ state: 'done', ended: 1, reason: 'a lost phone', actor: 'command_line' });
    expect([await isAlive(user), await isAlive(kept), await isAlive(other)]).toEqual([false, true, true]);
    const jobId = String(job!['job_id']);
    expect(await json('jobs', 'show', jobId)).toEqual([job]);
    expect((await run('jobs', 'list')).out).toContain(jobId);
    expect(await run('jobs', 'resume', jobId)).toMatchObject({
      code: 1,
      err: expect.stringContaining('is done'),
    });
  });

  it('takes exceptions in every form, and refuses one that does not exist', async () => {
    const user = await app().matrix.register();
    const kept = await app().matrix.login(user.userId);
    const name = user.userId.slice(1).split(':')[0]!;
    const end = (...except: string[]) =>
      run(
        'sessions',
        'end',
        '--user',
        name,
        ...except.flatMap((one) => ['--except', one]),
        '--dry-run',
        '--json',
      );
    for (const form of [`${name}/${kept.deviceId}`, `${user.userId}/${kept.deviceId}`])
      expect(linesOf(await end(form))).toMatchObject([{ count: 1 }]);
    expect(linesOf(await end(name))).toMatchObject([{ count: 0 }]);
    for (const wrong of [
      `${name}/TYPO`,
      `@${name}/${kept.deviceId}`,
      'alcie',
      `${name}:localhost/${kept.deviceId}`,
    ])
      expect(await end(wrong)).toMatchObject({ code: 1, err: expect.stringContaining('M_NOT_FOUND') });
    expect(await run('sessions', 'end', '--user', 'nobody', '-y')).toMatchObject({ code: 1 });
    expect(await run('sessions', 'list', '--user', name, '--user', 'bob')).toMatchObject({ code: 2 });
  });

  it('needs a condition, or --all', async () => {
    expect(await run('sessions', 'end', '--yes')).toMatchObject({
      code: 1,
      err: expect.stringContaining('condition'),
    });
  });

  it('ends those that are older than a restore', async () => {
    const old = await app().matrix.register();
    const [ended] = await json('sessions', 'end-stale', '--before', new Date().toISOString(), '--yes');
    expect(ended).toMatchObject({ state: 'done', failed: 0 });
    expect(ended!['ended']).toBeGreaterThan(0);
    expect(await isAlive(old)).toBe(false);
    expect(await json('sessions', 'end-stale', '--before', '30d', '--dry-run')).toMatchObject([{ count: 0 }]);
  });

  it('leaves a job to a node that serves, if it does not wait', async () => {
    const user = await app().matrix.register();
    const [job] = await json('sessions', 'end', '--user', user.userId, '--detach', '--yes');
    const jobId = String(job!['job_id']);
    let state = '';
    while (state !== 'done') state = String((await json('jobs', 'show', jobId))[0]!['state']);
    expect(await isAlive(user)).toBe(false);
  });
});
