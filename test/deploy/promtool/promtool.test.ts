import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { temporaryDirectory } from '../../../src/testing/test-postgres.js';

// Runs only if PROMTOOL names the program, as in CI.
const deploy = fileURLToPath(new URL('../../../deploy', import.meta.url));
const prometheus = join(deploy, 'prometheus');
let directory: string;

beforeAll(async () => {
  directory = await temporaryDirectory();
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** Returns what promtool prints; rejects if it finds a fault. */
async function promtool(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.env['PROMTOOL']!, args);
  return stdout;
}

/** Writes a file of alerts with something replaced. */
async function changed(name: string, from: string, to: string): Promise<string> {
  const text = await readFile(join(prometheus, name), 'utf8');
  expect(text).toContain(from);
  const path = join(directory, name);
  await writeFile(path, text.replaceAll(from, to));
  return path;
}

describe('promtool', () => {
  it('accepts the alerts, and would not accept every expression', async () => {
    expect(await promtool('check', 'rules', join(prometheus, 'alerts.yml'))).toMatch(
      /SUCCESS: \d\d rules found/,
    );
    const wrong = await changed('alerts.yml', 'up{job="sessions"} == 0', 'up{job="sessions"} == ');
    await expect(promtool('check', 'rules', wrong)).rejects.toThrow('could not parse expression');
  });

  it('accepts the example, with the file of alerts that it loads', async () => {
    const config = join(prometheus, 'prometheus.yml');
    expect(await promtool('check', 'config', config)).toContain('1 rule files found');
    const wrong = await changed('prometheus.yml', '- alerts.yml', '- no-such.yml');
    await expect(promtool('check', 'config', wrong)).rejects.toThrow('no-such.yml');
  });

  it('sees each alert fire when it should, and only then', async () => {
    await promtool('test', 'rules', join(prometheus, 'alerts.test.yml'));
    const tests = await changed('alerts.test.yml', 'rule_files: [alerts.yml]', 'rule_files: [changed.yml]');
    const rules = await readFile(join(prometheus, 'alerts.yml'), 'utf8');
    await writeFile(join(directory, 'changed.yml'), rules.replace('> 0.05', '> 0.5'));
    await expect(promtool('test', 'rules', tests)).rejects.toThrow('SessionsErrorRatio');
  });

  it('accepts every query of the dashboard', async () => {
    const { panels } = JSON.parse(await readFile(join(deploy, 'grafana/sessions.json'), 'utf8'));
    const queries: string[] = panels.flatMap(({ targets }: { targets: { expr: string }[] }) =>
      targets.map(({ expr }) => expr),
    );
    const check = async (exprs: readonly string[]) => {
      const path = join(directory, 'queries.yml');
      const rules = exprs.map((expr, at) => ({
        record: `query_${at}`,
        // As Grafana fills them in.
        expr: expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', 'a:9090|b:9090'),
      }));
      await writeFile(path, stringify({ groups: [{ name: 'dashboard', rules }] }));
      return promtool('check', 'rules', path);
    };
    expect(await check(queries)).toContain(`${queries.length} rules found`);
    await expect(check(['sum(rate(up)'])).rejects.toThrow('could not parse expression');
  });
});
