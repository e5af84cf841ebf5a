import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import request from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type ClientSession,
  MatrixClient,
  PASSWORD,
  passwordOf,
  someKeys,
  V3,
} from '../../src/testing/matrix-client.js';
import type { TestDatabase } from '../../src/testing/test-postgres.js';
import { createDatabase, urlOf } from '../support/database.js';
import { SECRET } from '../support/pair.js';
import { freePort } from '../support/service-process.js';
import { Synapse } from '../support/synapse.js';
import { TestApp } from '../support/test-app.js';

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const USERS = 1_000;
const AT_ONCE = 10;
const PEPPER = 'salt and pepper';

let ofSynapse: TestDatabase;
let ours: TestDatabase;
let port: number;
let synapse: Synapse;
let app: TestApp;
/** What clients had before the import. */
let alice: ClientSession;
let bob: ClientSession;
let variables: Record<string, string>;

const locationOf = ({ location }: TestDatabase) =>
  location as { host: string; port: number; username: string; database: string };
const startSynapse = (endpoint: string | null, more: object = {}) => {
  const { host, port: of, username, database } = locationOf(ofSynapse);
  return Synapse.start({
    endpoint,
    secret: SECRET,
    port,
    more: {
      database: {
        name: 'psycopg2',
        allow_unsafe_locale: true,
        args: { user: username, host, port: of, dbname: database, cp_min: 1, cp_max: 5 },
      },
      ...more,
    },
  });
};
const importAll = async (options: { dryRun?: boolean; after?: string } = {}) => {
  const { dryRun = false, after } = options;
  const { stdout, stderr } = await run(
    'import',
    'synapse',
    '--from',
    urlOf(ofSynapse),
    ...(dryRun ? ['--dry-run'] : []),
    ...(after === undefined ? [] : ['--after', after]),
  );
  return [...stderr.trim().split('\n'), stdout];
};
const run = (...words: string[]) => {
  const env = { PATH: process.env['PATH'], DATABASE_URL: urlOf(ours), ...variables };
  return promisify(execFile)(process.execPath, [MAIN, ...words], { env });
};
const register = async (username: string, extra: object = {}): Promise<ClientSession> =>
  new MatrixClient(synapse.http).register({ username, ...extra });

beforeAll(async () => {
  [ofSynapse, ours, port] = [await createDatabase('empty'), await createDatabase(), await freePort()];
  variables = { HOMESERVER_URL: `http://127.0.0.1:${port}`, HOMESERVER_SECRET: SECRET };
  const rate = { per_second: 10_000, burst_count: 10_000 };
  synapse = await startSynapse(null, {
    enable_registration: true,
    enable_registration_without_verification: true,
    bcrypt_rounds: 4,
    password_config: { pepper: PEPPER },
    rc_registration: rate,
    rc_login: { address: rate, account: rate, failed_attempts: rate },
  });
  alice = await register('alice', { initial_device_display_name: 'Phone', refresh_token: true });
  const client = new MatrixClient(synapse.http);
  await client.uploadKeys(alice, someKeys(alice)).expect(200);
  bob = await register('bob');
  const carol = await register('carol');
  const keys = {
    user_id: carol.userId,
    usage: ['master'],
    keys: { [`ed25519:${'k'.repeat(43)}`]: 'k'.repeat(43) },
  };
  await client
    .call(carol, 'post', '/keys/device_signing/upload')
    .send({ master_key: keys, auth: passwordOf(carol) });
  await client
    .call(carol, 'post', '/account/deactivate')
    .send({ auth: passwordOf(carol) })
    .expect(200);
  await register('taken');
  for (let at = 4; at < USERS; at += AT_ONCE)
    await Promise.all(
      Array.from({ length: Math.min(AT_ONCE, USERS - at) }, (_, nth) => register(`user-${at + nth}`)),
    );
  await synapse.stop();
  const before = await TestApp.start({ database: ours });
  await before.matrix.register({ username: 'taken' });
  await before.stop();
}, 300_000);
afterAll(async () => {
  await app?.stop();
  await synapse?.stop();
});

describe('matrix-session import synapse', () => {
  it('counts in a dry run what it would import, and changes nothing', async () => {
    const said = await importAll({ dryRun: true });
    expect(said.at(-1)).toContain(
      `Would have imported ${USERS - 1} of ${USERS} users, with ${USERS - 2} devices, ${USERS - 2} access tokens and 1 refresh tokens`,
    );
  });

  it('is a command', async () => {
    const { stdout } = await run('import', 'synapse', '--dry-run', '--from', urlOf(ofSynapse));
    expect(stdout).toContain('Would have imported');
    await expect(run('import', 'synapse', '--from', 'postgresql://127.0.0.1:1/x')).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('--from cannot be read: connect ECONNREFUSED'),
    });
    for (const wrong of [
      ['import'],
      ['import', 'synapse'],
      ['import', 'synapse', '--from', 'postgresql://x', '--after', 'bob'],
      ['--dry-run'],
      ['export', 'synapse'],
    ])
      await expect(run(...wrong)).rejects.toMatchObject({ code: 2 });
  });

  it('imports users, devices and tokens in batches, and says how far it is', async () => {
    const said = await importAll();
    expect(said[0]).toMatch(/^200 users of 1000, up to @user-\d+:localhost$/);
    expect(said).toHaveLength(USERS / 200 + 1);
    expect(said.at(-1)).toContain(`Imported ${USERS - 1} of ${USERS} users, with ${USERS - 2} devices`);
    expect(said.at(-1)).toContain('1 users have an account here that was not imported');
    expect(said.at(-1)).toContain('@taken:localhost');
  }, 60_000);

  it('imports nothing twice, and goes on behind a user', async () => {
    const again = await importAll();
    expect(again.at(-1)).toContain(
      'Imported 0 of 1000 users, with 0 devices, 0 access tokens and 0 refresh tokens',
    );
    const rest = await importAll({ after: '@user-98:localhost' });
    // "@user-99", those from "@user-990" to "@user-999", and "@user-9", because a colon comes behind the digits.
    expect(rest.at(-1)).toContain('Imported 0 of 12 users');
  }, 60_000);

  it('leaves everybody signed in, with their keys, at both servers', async () => {
    app = await TestApp.start({
      variables: { ...variables, PASSWORD_BCRYPT_PEPPER: PEPPER, ACCESS_TOKEN_TTL: '5m' },
      database: ours,
    });
    synapse = await startSynapse(await app.nest.getUrl());
    for (const own of [alice, bob]) {
      expect(await app.matrix.whoami(own)).toMatchObject({
        status: 200,
        body: { user_id: own.userId, device_id: own.deviceId },
      });
      await synapse.as(own, 'get', `${V3}/sync?timeout=0`).expect(200);
    }
    expect(await app.matrix.devices(alice)).toEqual([{ device_id: alice.deviceId, display_name: 'Phone' }]);
    const { body } = await synapse
      .as(bob, 'post', `${V3}/keys/query`)
      .send({ device_keys: { [alice.userId]: [] } })
      .expect(200);
    expect(Object.keys(body.device_keys[alice.userId])).toEqual([alice.deviceId]);
  }, 90_000);

  it('lets a client of Synapse refresh, which then has a token of this service', async () => {
    const { body } = await app.matrix.refresh(alice.refreshToken!).expect(200);
    const refreshed = { ...alice, accessToken: body.access_token as string };
    await synapse.as(refreshed, 'get', `${V3}/sync?timeout=0`).expect(200);
    await app.matrix.refresh(body.refresh_token).expect(200);
    // The old refresh token is spent.
    await app.matrix.refresh(alice.refreshToken!).expect(401);
  });

  it('takes the old passwords, and hashes them anew at the first login', async () => {
    const hashOf = async () =>
      (
        await app.sql<{ password_hash: string }>('SELECT password_hash FROM accounts WHERE user_id = $1', [
          bob.userId,
        ])
      )[0]!.password_hash;
    expect(await hashOf()).toMatch(/^\$2/);
    const wrong = {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: 'bob' },
      password: 'no',
    };
    await request(app.nest.getHttpServer()).post(`${V3}/login`).send(wrong).expect(403);
    await app.matrix.login(bob.userId);
    expect(await hashOf()).toMatch(/^\$argon2id/);
    await app.matrix.login(bob.userId);
  });

  it('leaves deactivated users deactivated, and the names of others to them', async () => {
    const login = (user: string) =>
      app.http
        .post(`${V3}/login`)
        .send({ type: 'm.login.password', identifier: { type: 'm.id.user', user }, password: PASSWORD });
    expect((await login('carol')).status).toBe(403);
    expect((await login('taken')).body.error).toContain('This username is taken');
  });

  it('ends imported sessions as its own', async () => {
    await synapse.as(bob, 'get', `${V3}/sync?timeout=0`).expect(200);
    await app.matrix.logout(bob).expect(200);
    await synapse.as(bob, 'get', `${V3}/sync?timeout=0`).expect(401);
    expect(await app.matrix.whoami(bob)).toMatchObject({ status: 401 });
  });

  it('brings nothing back that has ended here, however often it is run', async () => {
    const again = await importAll();
    expect(again.at(-1)).toContain('Imported 0 of 1000 users');
    expect(await app.matrix.whoami(bob)).toMatchObject({ status: 401 });
  });

  it('refuses a database that is not one of Synapse', async () => {
    const from = urlOf(await createDatabase('empty'));
    const importing = run('import', 'synapse', '--dry-run', '--from', from);
    await expect(importing).rejects.toThrow('it is no database of Synapse');
  });

  it('refuses the database of another server', async () => {
    variables = { ...variables, SERVER_NAME: 'example.org' };
    ours = await createDatabase();
    await expect(importAll()).rejects.toThrow('the database holds users of localhost');
  });
});
