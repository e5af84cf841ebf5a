import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';

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
  it('stops at a wrong variable with status 1 and its name, before anything is started', async () => {
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

  it('says where it listens, where its data and its docs are, and lines to try that work as they are', async () => {
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
});
