import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrations } from '../../src/database/own-migrations.js';
import { temporaryDirectory, type TestDatabase } from '../../src/testing/test-postgres.js';
import { commandLine, linesOf, type Outcome } from '../support/command-line.js';
import { createDatabase, urlOf } from '../support/database.js';

const NAMES = migrations.map(({ name }) => name);
let database: TestDatabase;
let directory: string;
let run: (...words: string[]) => Promise<Outcome>;
const json = async (...words: string[]) => linesOf(await run(...words, '--json'));
const withVariables = (variables: Record<string, string>) =>
  commandLine({ DATABASE_URL: urlOf(database), ...variables });

async function sql(text: string, of = database): Promise<unknown[]> {
  const client = new Client({ connectionString: urlOf(of) });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

beforeAll(async () => {
  [database, directory] = [await createDatabase(), await temporaryDirectory()];
  run = withVariables({});
});
afterAll(() => database.drop());

describe('matrix-session migrate', () => {
  it('says what an empty database lacks, tries it, and migrates', async () => {
    const empty = await createDatabase('empty');
    const migrate = commandLine({ DATABASE_URL: urlOf(empty) });
    const check = await migrate('migrate', '--check', '--json');
    expect([check.code, linesOf(check)]).toEqual([1, [{ missing: NAMES }]]);
    const [tried] = linesOf(await migrate('migrate', '--dry-run', '--json'));
    expect(tried).toMatchObject({ missing: NAMES });
    expect(String(tried!['statements'])).toContain('CREATE TABLE devices');
    expect(await sql(`SELECT to_regclass('devices') AS devices`, empty)).toEqual([{ devices: null }]);
    expect(linesOf(await migrate('migrate', '--json'))).toEqual([{ migrated: NAMES }]);
    expect(await migrate('migrate')).toMatchObject({ code: 0, out: 'The schema is up to date.\n' });
    expect(await migrate('migrate', '--check')).toMatchObject({ code: 0 });
    await empty.drop();
  });

  it('goes back to what an older version needs, if asked to', async () => {
    const of = await createDatabase();
    const migrate = commandLine({ DATABASE_URL: urlOf(of) });
    const [last, ...others] = NAMES.toReversed();
    expect(await migrate('migrate', '--back-to', others[0]!)).toMatchObject({ code: 1 });
    expect(linesOf(await migrate('migrate', '--back-to', others[1]!, '--yes', '--json'))).toEqual([
      { reverted: [last, others[0]] },
    ]);
    expect(linesOf(await migrate('migrate', '--check', '--json'))).toEqual([{ missing: [others[0], last] }]);
    expect(await migrate('migrate', '--back-to', 'None1', '-y')).toMatchObject({
      code: 1,
      err: expect.stringContaining('There is no migration None1'),
    });
    expect(await migrate('migrate', '--check', '--back-to', others[1]!)).toMatchObject({ code: 2 });
    expect(await migrate('migrate')).toMatchObject({ code: 0 });
    await of.drop();
  });

  it('refuses the schema of a newer version, as every other command does', async () => {
    const newer = await createDatabase();
    await sql(`COMMENT ON TABLE schema_migrations IS 'matrix-session-service Later9000000000000'`, newer);
    const of = commandLine({ DATABASE_URL: urlOf(newer), PORT: '0' });
    for (const words of [['migrate'], ['migrate', '--check'], ['users', 'list'], []])
      expect(await of(...words)).toMatchObject({
        code: 1,
        err: expect.stringMatching(/newer version.*Later9/),
      });
    await newer.drop();
  });

  it('is needed before other commands, and before a start with MIGRATE=off', async () => {
    const empty = await createDatabase('empty');
    for (const [variables, words] of [
      [{ MIGRATE: 'off', PORT: '0' }, []],
      [{}, ['users', 'list']],
    ] as const) {
      const outcome = await commandLine({ DATABASE_URL: urlOf(empty), ...variables })(...words);
      expect(outcome).toMatchObject({
        code: 1,
        err: expect.stringContaining('run "matrix-session migrate" first'),
      });
    }
    await empty.drop();
  });
});

describe('matrix-session config', () => {
  it('shows every variable, its value and where that comes from, and hides secrets', async () => {
    const [envFile, secretFile] = [join(directory, 'some.env'), join(directory, 'secret')];
    await writeFile(
      envFile,
      'PORT=8448\nWEBHOOK_SECRET=whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nHOST=127.0.0.9\n',
    );
    await writeFile(secretFile, 'a-token-that-nobody-may-see');
    const show = withVariables({
      ADMIN_TOKEN_FILE: secretFile,
      HOST: '127.0.0.1',
      REGISTATION: 'closed',
      NATS_URL: 'nats://pw@x',
    });
    const shown = await show('config', '--json', '--env-file', envFile);
    const [{ settings, misspelt, problems } = {}] = linesOf(shown);
    const of = (name: string) => (settings as { name: string }[]).find((one) => one.name === name);
    expect(of('PORT')).toEqual({ name: 'PORT', value: '8448', source: `file ${envFile}` });
    expect(of('HOST')).toEqual({ name: 'HOST', value: '127.0.0.1', source: 'environment' });
    expect(of('ADMIN_TOKEN')).toEqual({
      name: 'ADMIN_TOKEN',
      value: '(hidden)',
      source: `ADMIN_TOKEN_FILE, ${secretFile}`,
    });
    expect(of('LOG_LEVEL')).toEqual({ name: 'LOG_LEVEL', value: 'info', source: 'default' });
    expect([misspelt, problems]).toEqual([[{ name: 'REGISTATION', meant: 'REGISTRATION' }], []]);
    expect(shown.out).not.toMatch(/AAAAA|nobody-may-see|pw@/);
    const table = await show('config', '--set');
    expect(table.out).toMatch(/^HOST +127\.0\.0\.1 +environment$/m);
    expect(table.out).not.toContain('LOG_LEVEL');
  });

  it('names what is wrong, and exits with 1', async () => {
    const outcome = await withVariables({ PORT: 'x' })('config');
    expect([outcome.code, outcome.out]).toEqual([1, expect.stringContaining('PORT must be a whole number')]);
  });
});

describe('matrix-session doctor', () => {
  const findings = async (variables: Record<string, string>) => {
    const outcome = await withVariables(variables)('doctor', '--json');
    const [{ findings: found } = {}] = linesOf(outcome);
    return { ...outcome, found: found as { severity: string; what: string; advice: string | null }[] };
  };

  it('checks PostgreSQL, and fails for settings that lose commits', async () => {
    // The server of the tests has fsync off.
    const { code, found } = await findings({});
    expect(code).toBe(1);
    const of = (part: string) => found.find(({ what }) => what.includes(part))?.severity;
    expect(of('PostgreSQL 1')).toBe('ok');
    expect(of('fsync is off')).toBe('fail');
    expect(of('synchronous_commit is off')).toBe('warn');
    expect(of('The clocks')).toBe('ok');
    expect(of('prepared statements')).toBe('ok');
    expect(of('The schema is up to date')).toBe('ok');
    expect(of('may read and write every table')).toBe('ok');
    for (const { severity, advice } of found) expect(advice === null).toBe(severity === 'ok');
  });

  it('asks every server that is named', async () => {
    const target = createServer((_, response) => response.writeHead(405).end()).listen(0, '127.0.0.1');
    await once(target, 'listening');
    const { port } = target.address() as AddressInfo;
    const file = join(directory, 'webhooks.yaml');
    const to = (name: string, of: number) =>
      `{ name: ${name}, url: "http://127.0.0.1:${of}/", events: ["*"] }`;
    await writeFile(file, `webhooks: [${to('there', port)}, ${to('gone', 9)}]`);
    const { found } = await findings({
      WEBHOOKS_FILE: file,
      WEBHOOK_SECRET: 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
      WEBHOOK_SCHEMES: 'http',
      NATS_URL: 'nats://127.0.0.1:9',
      HOMESERVER_URL: 'http://127.0.0.1:9',
      HOMESERVER_SECRET: 'a-secret-of-both-servers-0123456789',
    });
    target.close();
    const of = (part: string) => found.find(({ what }) => what.includes(part))?.severity;
    expect(of('webhook:there answers')).toBe('ok');
    expect(of('webhook:gone cannot be reached')).toBe('warn');
    expect(of('NATS cannot be used')).toBe('warn');
    expect(of('Synapse cannot be called')).toBe('fail');
  });

  it.each<[string, Record<string, string>, string]>([
    ['a variable that is wrong', { PORT: 'x' }, 'PORT must be'],
    [
      'a database that does not answer',
      { DATABASE_URL: 'postgresql://127.0.0.1:9/x' },
      'DATABASE_URL cannot be reached',
    ],
    ['a file of webhooks that is none', { WEBHOOKS_FILE: '/nowhere' }, 'WEBHOOKS_FILE is not right'],
  ])('names %s, and what to do', async (_, variables, what) => {
    const outcome = await withVariables(variables)('doctor');
    expect(outcome.code).toBe(1);
    expect(outcome.out).toMatch(new RegExp(`^FAIL {2}.*${what}.*\n {6}\\S`, 'm'));
  });

  it('warns of what an operator should know, and of misspelt variables', async () => {
    const { found } = await findings({ NODE_ENV: 'production', REGISTRATION: 'open', REGISTATION: 'closed' });
    const warnings = found.filter(({ severity }) => severity === 'warn').map(({ what }) => what);
    expect(warnings).toEqual(
      expect.arrayContaining([
        'REGISTATION is set, and read by nobody',
        'Everybody may create an account',
        expect.stringContaining('without TLS'),
      ]),
    );
  });

  it('counts the connections of all workers', async () => {
    const workers = async (count: string) =>
      (await findings({ WORKERS: count, DATABASE_POOL_SIZE: '20' })).found.find(({ what }) =>
        what.includes('max_connections'),
      )?.severity;
    expect([await workers('2'), await workers('90')]).toEqual(['ok', 'fail']);
  });

  it('names an older schema: a failure if the next start does not mend it', async () => {
    const empty = await createDatabase('empty');
    const of = { DATABASE_URL: urlOf(empty) };
    const schema = async (variables: Record<string, string>) =>
      (await findings({ ...of, ...variables })).found.find(({ what }) => what.includes('lacks'))?.severity;
    expect(await schema({})).toBe('warn');
    expect(await schema({ MIGRATE: 'off' })).toBe('fail');
    await empty.drop();
  });
});

describe('matrix-session events', () => {
  it('lists, replays and discards what a subscriber has not received', async () => {
    await sql(`
      INSERT INTO event_subscriptions (subscriber, event, seen_at) VALUES ('old', 'devices.deleted', now());
      INSERT INTO event_deliveries
        (user_id, subscriber, position, ordinal, event_id, event, payload, occurred_at, state, attempts, next_attempt_at,
          settled_at)
      SELECT '@u:localhost', 'old', n, 1, 'evt_' || n, 'devices.deleted', '{"devices":[]}', now(), 'buried', 30, now(),
        now() FROM generate_series(1, 3) AS n`);
    const [{ deliveries } = {}] = await json('events', 'list', '--subscriber', 'old');
    expect(deliveries).toHaveLength(3);
    expect((await run('events', 'list')).out).toContain('evt_1');
    expect(await json('events', 'replay', 'old', 'evt_1')).toEqual([{ replayed: 1 }]);
    expect(await json('events', 'replay', 'old')).toEqual([{ replayed: 2 }]);
    expect(await run('events', 'replay', 'old', 'evt_1')).toMatchObject({ code: 1 });
    expect(await run('events', 'discard', 'old')).toMatchObject({ code: 1 });
    expect(await json('events', 'discard', 'old', '--yes')).toEqual([{ discarded: 3 }]);
    expect(await sql(`SELECT FROM event_subscriptions WHERE subscriber = 'old'`)).toEqual([]);
  });
});

describe('matrix-session reconcile and backup-check', () => {
  it('find nothing wrong with a whole database', async () => {
    expect(await run('reconcile')).toMatchObject({ code: 0, out: 'Every row is consistent.\n' });
    const check = await run('backup-check');
    expect([check.code, check.out]).toEqual([0, expect.stringContaining('The database is whole.')]);
  });

  it('deliver nothing, as every command that only looks', async () => {
    const restored = await createDatabase();
    await sql(
      `INSERT INTO event_subscriptions (subscriber, event, seen_at) VALUES ('webhook:live', 'devices.deleted', now());
       INSERT INTO event_deliveries
         (user_id, subscriber, position, ordinal, event_id, event, payload, occurred_at, state, attempts, next_attempt_at)
       VALUES ('@u:localhost', 'webhook:live', 1, 1, 'evt_1', 'devices.deleted', '{"devices":[]}', now(), 'pending', 0, now())`,
      restored,
    );
    let posted = 0;
    const target = createServer((_, response) => {
      posted += 1;
      response.end();
    }).listen(0, '127.0.0.1');
    await once(target, 'listening');
    const { port } = target.address() as AddressInfo;
    const file = join(directory, 'live.yaml');
    await writeFile(file, `webhooks: [{ name: live, url: "http://127.0.0.1:${port}/", events: ["*"] }]`);
    const of = commandLine({
      DATABASE_URL: urlOf(restored),
      WEBHOOKS_FILE: file,
      WEBHOOK_SECRET: 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
      WEBHOOK_SCHEMES: 'http',
    });
    const before = await sql(`SELECT * FROM event_subscriptions ORDER BY event`, restored);
    for (const words of [
      ['backup-check'],
      ['reconcile'],
      ['users', 'list'],
      ['sessions', 'end', '--all', '--dry-run'],
    ])
      expect(await of(...words)).toMatchObject({ code: 0 });
    expect(posted).toBe(0);
    expect(await sql(`SELECT * FROM event_subscriptions ORDER BY event`, restored)).toEqual(before);
    expect(await sql(`SELECT state, attempts FROM event_deliveries`, restored)).toEqual([
      { state: 'pending', attempts: 0 },
    ]);
    target.close();
    await restored.drop();
  });

  it('find what a damaged backup has left, and repair it', async () => {
    const damaged = await createDatabase();
    await sql(
      `ALTER TABLE access_tokens DROP CONSTRAINT access_tokens_device_fkey;
       INSERT INTO accounts (user_id, created_at) VALUES ('@a:localhost', now());
       INSERT INTO access_tokens (user_id, token_digest, device_id, confirms_rotation, created_at)
         VALUES ('@a:localhost', '\\x01', 'GONE', false, now());
       CREATE INDEX half ON accounts (created_at);
       UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'half'::regclass`,
      damaged,
    );
    const of = commandLine({ DATABASE_URL: urlOf(damaged) });
    const check = await of('backup-check', '--json');
    const [{ missing, invalid, findings, rows } = {}] = linesOf(check);
    expect(check.code).toBe(1);
    expect(missing).toEqual(expect.arrayContaining([expect.stringContaining('access_tokens_device_fkey')]));
    expect(invalid).toEqual(['half']);
    expect(findings).toMatchObject([{ problem: 'access_tokens_without_device', found: 1, repaired: 0 }]);
    expect(rows).toMatchObject({ accounts: 1, access_tokens: 1 });
    expect(await of('reconcile')).toMatchObject({ code: 1 });
    expect(await of('reconcile', '--repair')).toMatchObject({ code: 0 });
    expect(await of('reconcile')).toMatchObject({ code: 0 });
    await damaged.drop();
  });
});
