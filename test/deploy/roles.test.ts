import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { commandLine } from '../support/command-line.js';
import { file } from '../support/deployment.js';
import { OwnPostgres } from '../support/own-postgres.js';
import { ServiceProcess } from '../support/service-process.js';

let postgres: OwnPostgres;
let directory: string;

const urlOf = (role: string) => `postgresql://${role}@127.0.0.1:${postgres.port}/matrix_session`;

/** Runs statements as a role. */
async function execute(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Runs the command that brings the schema up to date. */
const migrate = (role: string, ...options: string[]) =>
  commandLine({ DATABASE_URL: urlOf(role) })('migrate', ...options);

/** Runs `deploy/postgresql/roles.sql` as psql would. */
async function runRoles(): Promise<void> {
  const [before, inside] = (await file('deploy/postgresql/roles.sql')).split('\\connect matrix_session\n');
  const statements = before!.replaceAll(/^--.*$/gm, '').split(';');
  // CREATE DATABASE must stand alone.
  for (const statement of statements.filter((one) => one.trim() !== ''))
    await execute(postgres.url, statement);
  await execute(urlOf('postgres'), inside!);
}

beforeAll(async () => {
  postgres = await OwnPostgres.start();
  directory = await temporaryDirectory();
  await runRoles();
});
afterAll(async () => {
  await postgres.stop();
  await rm(directory, { recursive: true, force: true });
});

describe('The role that serves', () => {
  it('is made as the documentation shows', async () => {
    const [, shown] = /^```sql\n(.*?)^```$/ms.exec(await file('docs/deploying.md'))!;
    const made = (await file('deploy/postgresql/roles.sql')).replaceAll(/^--.*\n/gm, '');
    expect(made).toContain(shown);
  });

  it('cannot migrate, and says so; the owner can, without a node', async () => {
    const refused = await migrate('matrix_session');
    expect([refused.code, refused.err]).toEqual([
      1,
      expect.stringContaining('permission denied for schema public'),
    ]);
    expect(await migrate('matrix_session_owner', '--check')).toMatchObject({ code: 1 });
    const start = await commandLine({ DATABASE_URL: urlOf('matrix_session'), MIGRATE: 'off', PORT: '0' })();
    expect([start.code, start.err]).toEqual([
      1,
      expect.stringContaining('run "matrix-session migrate" first'),
    ]);
    expect(await migrate('matrix_session_owner')).toMatchObject({ code: 0 });
    expect(await migrate('matrix_session', '--check')).toMatchObject({ code: 0 });
  });

  it('is enough for a node that registers users, logs them in and out, and reconciles', async () => {
    const secret = join(directory, 'database-url');
    await writeFile(secret, `${urlOf('matrix_session')}\n`);
    const service = await ServiceProcess.start({
      NODE_ENV: 'production',
      DATABASE_URL_FILE: secret,
      MIGRATE: 'off',
      RECONCILE_INTERVAL: '1s',
    });
    try {
      await service.http.get('/health/ready').expect(200);
      const session = await service.matrix.register();
      const other = await service.matrix.login(session.userId);
      await service.matrix.logout(other).expect(200);
      await service.matrix.logout(session).expect(200);
      await service.matrix.logout(session).expect(401);
    } finally {
      expect(await service.stop()).toBe(0);
    }
    expect(service.words).not.toMatch(/permission denied/);
  });

  it.each([
    ['make a table', 'CREATE TABLE mine (id int)'],
    ['change one', 'ALTER TABLE devices ADD COLUMN mine int'],
    ['drop one', 'DROP TABLE devices'],
    ['empty one', 'TRUNCATE devices CASCADE'],
    ['make a temporary one', 'CREATE TEMPORARY TABLE mine (id int)'],
  ])('cannot %s', async (_, sql) => {
    await expect(execute(urlOf('matrix_session'), sql)).rejects.toMatchObject({ code: '42501' });
  });

  it('may use tables of later migrations', async () => {
    await execute(urlOf('matrix_session_owner'), 'CREATE TABLE later (id int)');
    await execute(
      urlOf('matrix_session'),
      'INSERT INTO later VALUES (1); UPDATE later SET id = 2; DELETE FROM later',
    );
    expect(await execute(urlOf('matrix_session'), 'SELECT * FROM later')).toEqual([]);
  });

  it('may use tables that were there before the roles', async () => {
    await execute(urlOf('matrix_session_owner'), 'REVOKE ALL ON devices FROM matrix_session');
    await expect(execute(urlOf('matrix_session'), 'SELECT 1 FROM devices')).rejects.toMatchObject({
      code: '42501',
    });
    const grants = (await file('deploy/postgresql/roles.sql')).split('\\connect matrix_session\n')[1]!;
    await execute(urlOf('postgres'), grants);
    expect(await execute(urlOf('matrix_session'), 'SELECT 1 FROM devices')).toEqual([]);
  });
});
