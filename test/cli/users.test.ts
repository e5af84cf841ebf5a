import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { commandLine, linesOf, type Outcome } from '../support/command-line.js';
import { urlOf } from '../support/database.js';
import { useApp } from '../support/test-app.js';

/** The node that serves while commands run. */
const app = useApp();
let run: (...words: string[]) => Promise<Outcome>;
const json = async (...words: string[]) => linesOf(await run(...words, '--json'));

beforeAll(() => {
  run = commandLine({ DATABASE_URL: urlOf(app().database), STDIN: 'through-the-looking-glass\n' });
});

describe('matrix-session users', () => {
  it('creates an administrator with a password that works', async () => {
    const made = await run('users', 'create', 'root', '--admin');
    const [, password] = /^Created @root:localhost\.\nThe password is (\S{20})\n$/.exec(made.out)!;
    const session = await app().matrix.login('root', { password });
    const users = await app()
      .http.get('/_session/v1/admin/users?admin=true')
      .set('Authorization', `Bearer ${session.accessToken}`)
      .expect(200);
    expect(users.body.users).toMatchObject([{ user_id: '@root:localhost' }]);
    const again = await run('users', 'create', 'root');
    expect([again.code, again.out, again.err]).toEqual([1, '', expect.stringContaining('(M_USER_IN_USE)')]);
  });

  it('takes a password from a file or from the standard input, or makes none', async () => {
    const file = join(await temporaryDirectory(), 'password');
    await writeFile(file, 'down-the-rabbit-hole\r\n');
    const [[fromFile], [fromInput], [without]] = await Promise.all([
      json('users', 'create', 'one', '--password-file', file),
      json('users', 'create', 'two', '--password-stdin'),
      json('users', 'create', 'three', '--without-password'),
    ]);
    for (const made of [fromFile, fromInput, without]) expect(made).not.toHaveProperty('password');
    expect(without).toMatchObject({ user_id: '@three:localhost', has_password: false, admin: false });
    await app().matrix.login('one', { password: 'down-the-rabbit-hole' });
    await app().matrix.login('two', { password: 'through-the-looking-glass' });
  });

  it('sets a password and ends all sessions, or keeps them', async () => {
    const user = await app().matrix.register();
    const kept = await json('users', 'set-password', user.userId, '--keep-sessions', '--password-stdin');
    expect(kept).toEqual([{}]);
    expect((await app().matrix.whoami(user)).status).toBe(200);
    expect(await json('users', 'set-password', user.userId, '--dry-run')).toMatchObject([
      { dry_run: true, count: 1 },
    ]);
    expect((await run('users', 'set-password', user.userId)).err).toContain('--yes');
    expect((await app().matrix.whoami(user)).status).toBe(200);
    const [{ password } = {}] = await json('users', 'set-password', user.userId, '--yes');
    expect((await app().matrix.whoami(user)).status).toBe(401);
    await app().matrix.login(user.userId, { password });
  });

  it('logs a user out of one device, or everywhere, and deletes a device', async () => {
    const user = await app().matrix.register();
    const others = [1, 2].map(() => app().matrix.login(user.userId));
    const [second, third] = await Promise.all(others);
    const [{ sessions } = {}] = await json('devices', 'list', user.userId);
    expect(sessions).toHaveLength(3);
    expect(await run('users', 'logout', user.userId, '--device', second!.deviceId, '--yes')).toMatchObject({
      code: 0,
    });
    expect((await app().matrix.whoami(second!)).status).toBe(401);
    expect(await run('devices', 'delete', user.userId, third!.deviceId, '-y')).toMatchObject({ code: 0 });
    expect((await app().matrix.whoami(third!)).status).toBe(401);
    expect((await app().matrix.whoami(user)).status).toBe(200);
    const gone = await run('users', 'logout', user.userId, '--device', 'NONE', '--yes', '--json');
    expect([gone.code, JSON.parse(gone.err)]).toEqual([
      1,
      { errcode: 'M_NOT_FOUND', error: expect.any(String) },
    ]);
    await run('users', 'logout', user.userId, '--yes');
    expect((await app().matrix.whoami(user)).status).toBe(401);
    const [{ entries } = {}] = await json('audit', '--user', user.userId, '--limit', '1');
    expect(entries).toMatchObject([
      { action: 'session_ended', actor: 'command_line', reason: 'admin', address: 'local' },
    ]);
  });

  it('locks, suspends and deactivates users, and makes them administrators', async () => {
    const { userId } = await app().matrix.register();
    const name = userId.slice(1).split(':')[0]!;
    for (const [command, change] of [
      ['lock', { locked: true }],
      ['unlock', { locked: false }],
      ['suspend', { suspended: true }],
      ['unsuspend', { suspended: false }],
      ['grant-admin', { admin: true }],
      ['revoke-admin', { admin: false }],
    ] as const)
      expect(await json('users', command, name)).toMatchObject([change]);
    expect(await json('users', 'deactivate', name, '--dry-run')).toMatchObject([{ count: 1 }]);
    await run('users', 'deactivate', name, '--yes');
    const shown = await run('users', 'show', name);
    expect(shown.out).toMatch(/^State +deactivated$/m);
  });

  it('lists users by page, or every page', async () => {
    for (let nth = 0; nth < 5; nth += 1) await app().matrix.register({ username: `paged${nth}` });
    const search = ['users', 'list', '--search', 'paged'];
    const [{ users, next_batch: next } = {}] = await json(...search, '--limit', '2');
    expect(users).toMatchObject([{ user_id: '@paged0:localhost' }, { user_id: '@paged1:localhost' }]);
    expect(await json(...search, '--limit', '2', '--from', String(next))).toMatchObject([
      { users: [{ user_id: '@paged2:localhost' }, { user_id: '@paged3:localhost' }] },
    ]);
    const pages = await json(...search, '--limit', '2', '--all');
    expect(pages.flatMap((page) => page['users'])).toHaveLength(5);
    const table = await run(...search, '--limit', '2');
    expect(table.out).toMatch(/^User +Kind +State/);
    expect(table.err).toContain(`--from ${String(next)}`);
    expect((await run('users', 'list', '--search', 'nobody-of-this-name')).out).toContain('No user');
  });

  it('refuses a wrong condition as the endpoint does, or before', async () => {
    const wrong = await run('users', 'list', '--limit', '2000');
    expect([wrong.code, wrong.out, wrong.err]).toEqual([
      1,
      '',
      expect.stringMatching(/\(M_INVALID_PARAM\)\n$/),
    ]);
    expect(await run('users', 'list', '--state', 'tired')).toMatchObject({
      code: 2,
      err: expect.stringContaining('Allowed choices are active'),
    });
  });
});

describe('matrix-session tokens', () => {
  it('makes, shows, changes and revokes registration tokens', async () => {
    const before = Date.now();
    const [made] = await json('tokens', 'create', '--uses', '2', '--expires', '7d');
    expect(made).toMatchObject({ uses_allowed: 2, used: 0, created_by: 'command_line' });
    expect(Number(made!['expires_ts']) - before).toBeGreaterThan(6.9 * 86_400_000);
    const token = String(made!['token']);
    expect(await json('tokens', 'change', token, '--uses', 'any', '--expires', 'never')).toMatchObject([
      { uses_allowed: null, expires_ts: null },
    ]);
    expect(await json('tokens', 'change', token, '--uses', '3')).toMatchObject([
      { uses_allowed: 3, expires_ts: null },
    ]);
    expect((await run('tokens', 'list')).out).toContain(`${token}  0 of 3`);
    await run('tokens', 'revoke', token, '--yes');
    expect(await run('tokens', 'show', token)).toMatchObject({ code: 1 });
  });
});
