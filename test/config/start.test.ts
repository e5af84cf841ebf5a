import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { reasonOf } from '../../src/cli/start-failure.js';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';

import { ServiceProcess } from '../support/service-process.js';

const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
let dataDir: string;
let service: ChildProcessByStdio<null, Readable, null> | undefined;

beforeEach(async () => {
  dataDir = await temporaryDirectory();
});
afterEach(async () => {
  service?.kill('SIGKILL');
  await rm(dataDir, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
});

describe('node dist/main.js', () => {
  it('exits with status 1 and the name of an invalid variable before it starts anything', async () => {
    const failed = new Promise<[number, string]>((resolve) => {
      execFile(process.execPath, [main], { env: { PORT: 'x', DATA_DIR: dataDir } }, (error, _, stderr) =>
        resolve([Number(error?.code), stderr]),
      );
    });
    const [code, words] = await failed;
    expect(code).toBe(1);
    expect(words).toContain('PORT must be a whole number from 0 to 65535');
    expect(words).not.toContain('    at ');
  });

  it('reads .env, or the file of --env-file, but not over what is set, and names what looks misspelt', async () => {
    await writeFile(join(dataDir, '.env'), 'PORT=x\nREGISTATION=closed\n');
    await writeFile(join(dataDir, 'other'), 'PORT=y\n');
    const say = (words: string[], env: Record<string, string> = {}) =>
      new Promise<string>((resolve) => {
        const all = { DATA_DIR: join(dataDir, 'data'), LOG_LEVEL: 'x', ...env };
        execFile(process.execPath, [main, ...words], { cwd: dataDir, env: all }, (_, __, stderr) =>
          resolve(stderr),
        );
      });
    expect(await say([])).toContain('PORT must be a whole number from 0 to 65535, not "x"');
    expect(await say(['--env-file', 'other'])).toContain('not "y"');
    expect(await say([], { PORT: 'z' })).toContain('not "z"');
    // Node 20 looks for this option of its own behind the name of the program, too.
    expect(await say(['--env-file', 'none'])).toMatch(/none: not found|--env-file cannot be read/);
    const unreachable = { PORT: '0', LOG_LEVEL: 'info', DATABASE_URL: 'postgresql://127.0.0.1:9/none' };
    expect(await say([], unreachable)).toContain(
      'The variable REGISTATION is read by nobody. Is REGISTRATION meant?',
    );
  });

  it('prints where it listens, where its data and docs are, and example commands that work', async () => {
    const env = { PATH: process.env['PATH'], DATA_DIR: dataDir, PORT: '0' };
    service = spawn(process.execPath, [main], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    let words = '';
    for await (const chunk of service.stdout) {
      words += String(chunk);
      if (words.includes('/logout')) break;
    }
    const url = /listens on {2}(http:\/\/127\.0\.0\.1:\d+)/.exec(words)?.[1];
    expect(url).toBeDefined();
    expect(words).toContain(`${dataDir} (embedded PostgreSQL)`);
    expect(words).toContain(`${url}/docs`);
    expect(words).toContain('registration is open');

    const lines = words.slice(words.indexOf('  TOKEN=')).trim();
    const answers = await new Promise<string>((resolve, reject) => {
      execFile('bash', ['-c', lines.replaceAll('curl ', 'curl -s ')], (error, stdout) =>
        error ? reject(error) : resolve(stdout),
      );
    });
    expect(answers).toMatch(
      /^\{"user_id":"@alice\d+:localhost","device_id":"[A-Z]{10}","is_guest":false\}\{\}$/,
    );

    const gone = once(service, 'exit');
    service.kill('SIGTERM');
    expect(await gone).toEqual([0, null]);
  });

  const run = (args: string[], env: Record<string, string> = {}) =>
    new Promise<{ code: number; out: string; err: string }>((resolve) => {
      execFile(
        process.execPath,
        [main, ...args],
        { env: { PATH: process.env['PATH'], DATA_DIR: dataDir, ...env } },
        (error, out, err) => resolve({ code: Number(error?.code ?? 0), out, err }),
      );
    });

  it('prints help or version on request, and starts nothing', async () => {
    const help = await run(['--help']);
    expect([help.code, help.err]).toEqual([0, '']);
    expect(help.out).toContain('Usage: matrix-session');
    const version = await run(['--version']);
    expect([version.code, version.out]).toEqual([0, expect.stringMatching(/^\d+\.\d+\.\d+\n$/)]);
    for (const args of [['--verison'], ['severe'], ['-x']]) {
      const unknown = await run(args);
      expect(unknown.code).toBe(2);
      expect(unknown.err).toContain(args[0]);
      expect(unknown.err).toContain('Try --help.');
    }
  });

  it('prints once, without colours, why it cannot start; in production as JSON', async () => {
    const url = 'postgresql://nobody@127.0.0.1:1/none';
    const plain = await run([], { DATABASE_URL: url });
    expect(plain.code).toBe(1);
    expect(plain.out + plain.err).toMatch(/^The start failed: DATABASE_URL cannot be reached[^\n]*\n$/);
    const production = await run([], { DATABASE_URL: url, NODE_ENV: 'production' });
    expect(production.code).toBe(1);
    const lines = (production.out + production.err).trim().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      expect.objectContaining({
        level: 'error',
        message: expect.stringContaining('DATABASE_URL cannot be reached'),
      }),
    ]);
    const wrong = await run([], { PORT: 'x', NODE_ENV: 'production', DATABASE_URL: url });
    expect(JSON.parse(wrong.out + wrong.err)).toMatchObject({
      message: expect.stringContaining('PORT must be'),
    });
  });

  it('ends when its embedded server has ended', async () => {
    const started = await ServiceProcess.start({ DATA_DIR: dataDir });
    const [pid] = (await readFile(join(dataDir, 'moved-to'), 'utf8').catch(() => dataDir)).trim().split('\n');
    const [server] = (await readFile(join(pid!, 'postgres', 'postmaster.pid'), 'utf8')).split('\n');
    process.kill(Number(server), 'SIGKILL');
    expect(await started.ended).toEqual([1, null]);
    expect(started.words).toContain('The embedded PostgreSQL has ended');
  });

  it('in production logs everything as JSON', async () => {
    const started = await ServiceProcess.start({
      DATA_DIR: dataDir,
      NODE_ENV: 'production',
      DATABASE_URL: 'embedded',
    });
    await started.http.get('/health/ready').expect(200);
    expect(await started.stop()).toBe(0);
    const lines = started.words.trim().split('\n');
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) expect(JSON.parse(line)).toMatchObject({ level: expect.any(String) });
  });

  it('elsewhere logs lines that people can read', async () => {
    const started = await ServiceProcess.start({ DATA_DIR: dataDir });
    await started.http.get('/_matrix/client/versions').expect(200);
    await started.says(/^\[[\d:.]+\] INFO: \[Request\] GET \/_matrix\/client\/versions 200 in [\d.]+ ms$/m);
    expect(await started.stop()).toBe(0);
  });

  it('in production logs uncaught errors and the warnings of Node as JSON', async () => {
    const preload = `process.once('SIGUSR2', () => {
      process.emitWarning('Mind the gap');
      setImmediate(() => Promise.reject(new Error('Nobody is here')));
    })`;
    const started = await ServiceProcess.start({
      DATA_DIR: dataDir,
      NODE_ENV: 'production',
      DATABASE_URL: 'embedded',
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(preload)}`,
    });
    started.child.kill('SIGUSR2');
    expect(await started.ended).toEqual([1, null]);
    const lines = started.words
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toContainEqual(
      expect.objectContaining({ level: 'warn', message: 'Warning: Mind the gap' }),
    );
    expect(lines).toContainEqual(
      expect.objectContaining({ level: 'error', message: expect.stringContaining('Nobody is here') }),
    );
  });

  it('reports a missing password', () => {
    const error = new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string');
    expect(reasonOf(error)).toContain('DATABASE_URL has no password');
  });
});
