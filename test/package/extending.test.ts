import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';

const checkout = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);

/** A code block of docs/extending.md: a command, or a named file. */
interface Block {
  readonly language: string;
  readonly file: string | undefined;
  readonly text: string;
}

async function blocks(): Promise<Block[]> {
  const text = await readFile(join(checkout, 'docs/extending.md'), 'utf8');
  const found = text.matchAll(/^```(\w+)(?: (\S+))?\n([^]*?)^```$/gm);
  return [...found].map(([, language, file, inside]) => ({ language: language!, file, text: inside! }));
}

let directory: string;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  directory = await temporaryDirectory();
  const { DATABASE_URL: _own, MATRIX_SESSION_SERVICE_TEST_POSTGRES: _ours, ...rest } = process.env;
  // Variables that vitest sets for this run must not reach the runs inside.
  const others = Object.entries(rest).filter(
    ([name]) => !/^(VITEST|NODE_ENV|TEST|FORCE_COLOR|npm_)/.test(name),
  );
  env = { ...Object.fromEntries(others), PORT: '0', NO_COLOR: '1' };
}, 60_000);
afterAll(() => rm(directory, { recursive: true, force: true }));

async function shell(text: string): Promise<string> {
  const running = run('bash', ['-ec', text], { cwd: directory, env, maxBuffer: 1e8 });
  const { stdout } = await running.catch((error: { stdout: string; stderr: string }) => {
    throw new Error(`${text}${error.stdout}${error.stderr}`);
  });
  return stdout;
}

/** Packs a copy of the checkout, because other tests use the build of the checkout itself. */
async function pack(): Promise<void> {
  const copy = await temporaryDirectory();
  const { stdout } = await run('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: checkout,
  });
  for (const file of stdout.split('\n').filter((name) => /^(src|docs)\/|^[^/]+$/.test(name)))
    await cp(join(checkout, file), join(copy, file));
  await symlink(join(checkout, 'node_modules'), join(copy, 'node_modules'));
  await run('npm', ['pack', '--pack-destination', directory], { cwd: copy });
  await rm(copy, { recursive: true });
}

/** Starts the application, waits for the line with its address, and stops it. */
async function start(text: string): Promise<string> {
  const service = spawn('bash', ['-c', text], { cwd: directory, env, detached: true });
  let output = '';
  try {
    const url = await new Promise<string>((resolve, reject) => {
      service.stdout.on('data', (data) => {
        output += String(data);
        const found = /http:\S+/.exec(output)?.[0];
        if (found !== undefined) resolve(found);
      });
      service.stderr.on('data', (data) => (output += String(data)));
      service.once('exit', () => reject(new Error(output)));
    });
    const answer = await fetch(`${url}/_matrix/client/v3/pushers`);
    return `${answer.status} ${await answer.text()}`;
  } finally {
    process.kill(-service.pid!, 'SIGTERM');
    if (service.exitCode === null) await once(service, 'exit');
  }
}

it('The steps of docs/extending.md create a working and tested module in an empty directory, with the packed package', async () => {
  const outputs: string[] = [];
  for (const { language, file, text } of await blocks()) {
    if (file !== undefined) {
      await mkdir(dirname(join(directory, file)), { recursive: true });
      await writeFile(join(directory, file), text);
      expect(text).toBe(await readFile(join(checkout, 'examples/pushers', file), 'utf8'));
    } else {
      expect(language).toBe('sh');
      if (text.includes('npm pack')) await pack();
      else if (/npm start|node /.test(text)) outputs.push(await start(text));
      else outputs.push(await shell(text));
    }
  }
  expect(outputs.join('\n')).toMatch(/Tests +\d+ passed/);
  for (const answer of outputs.slice(-2)) expect(answer).toMatch(/^401 .*M_MISSING_TOKEN/);
  const copies = JSON.parse(await shell('npm ls --json @nestjs/core'));
  expect(JSON.stringify(copies).match(/"version":"12/g)?.length).toBeGreaterThan(0);
  const nested = await readdir(join(directory, 'node_modules/matrix-session-service'));
  expect(nested).not.toContain('node_modules');
}, 400_000);

it('examples/pushers contains only files that docs/extending.md shows', async () => {
  const documented = (await blocks()).map(({ file }) => file).filter((file) => file !== undefined);
  const entries = await readdir(join(checkout, 'examples/pushers'), { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => relative(join(checkout, 'examples/pushers'), join(parentPath, name)))
    .filter((file) => !/^(node_modules|dist|data)\//.test(file));
  expect(files.toSorted()).toEqual(documented.toSorted());
});
