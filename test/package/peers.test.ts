import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';

const checkout = fileURLToPath(new URL('../..', import.meta.url));
let directory: string;

beforeAll(async () => {
  directory = await temporaryDirectory();
  // The package as npm sees it. Its code does not matter here.
  const self = await readFile(join(checkout, 'package.json'), 'utf8');
  const { name, version, dependencies, peerDependencies, peerDependenciesMeta } = JSON.parse(self);
  const packed = { name, version, dependencies, peerDependencies, peerDependenciesMeta };
  await writeFile(join(directory, 'package.json'), JSON.stringify(packed));
  await new Promise((resolve, reject) => {
    execFile('npm', ['pack'], { cwd: directory }, (error) => (error ? reject(error) : resolve(null)));
  });
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** Installs the package into an application with these dependencies, and returns the output of npm. */
async function install(own: Record<string, string>): Promise<{ isRefused: boolean; output: string }> {
  const app = await temporaryDirectory();
  const dependencies = {
    ...own,
    'matrix-session-service': `file:${join(directory, 'matrix-session-service-0.1.0.tgz')}`,
  };
  await writeFile(join(app, 'package.json'), JSON.stringify({ name: 'app', private: true, dependencies }));
  const options = ['install', '--dry-run', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
  const answer = await new Promise<{ isRefused: boolean; output: string }>((resolve) => {
    execFile('npm', options, { cwd: app }, (error, stdout, stderr) =>
      resolve({ isRefused: error !== null, output: stdout + stderr }),
    );
  });
  await rm(app, { recursive: true });
  return answer;
}

it('npm refuses the package in an application on Nest 11, and installs it with Nest 12', async () => {
  const old = await install({ '@nestjs/common': '^11.0.0', '@nestjs/core': '^11.0.0' });
  expect(old.isRefused).toBe(true);
  expect(old.output).toMatch(/ERESOLVE/);
  expect(old.output).toMatch(/peer @nestjs\/(common|core)@"\^12/);
  const current = await install({ '@nestjs/common': '^12.5.1', '@nestjs/core': '^12.5.1' });
  expect(current).toMatchObject({ isRefused: false });
  expect(current.output).not.toMatch(/ERESOLVE/);
}, 120_000);

it.each([
  ['typeorm', '^0.3.0', '~1'],
  ['rxjs', '^6.6.0', '^7'],
  ['reflect-metadata', '^0.1.13', '^0.2'],
])(
  'npm refuses the package in an application on %s %s',
  async (name, version, needed) => {
    const { isRefused, output } = await install({ [name]: version });
    expect(isRefused).toBe(true);
    expect(output).toMatch(/ERESOLVE/);
    expect(output).toContain(`peer ${name}@"${needed}`);
  },
  120_000,
);
