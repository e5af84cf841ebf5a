import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../src/testing/test-postgres.js';

const UNITS = ['matrix-session.service', 'matrix-session-migrate.service'];
const run = promisify(execFile);

let directory: string;

beforeEach(async () => {
  directory = await temporaryDirectory();
  // systemd looks whether the program is there. Node need not be where Debian puts it.
  for (const unit of UNITS) {
    const text = await readFile(`deploy/systemd/${unit}`, 'utf8');
    await writeFile(join(directory, unit), text.replace('/usr/bin/node', process.execPath));
  }
});
afterEach(() => rm(directory, { recursive: true }));

/** Returns what systemd complains about. `SYSTEMD_ANALYZE` names the program; the units need version 250. */
async function complaints(unit: string): Promise<string> {
  const options = ['verify', '--recursive-errors=no', '--man=no', join(directory, unit)];
  const { stdout, stderr } = await run(process.env['SYSTEMD_ANALYZE']!, options).catch(
    (error: { stdout: string; stderr: string }) => error,
  );
  return stdout + stderr;
}

describe('systemd', () => {
  it.each(UNITS)('accepts %s', async (unit) => {
    expect(await complaints(unit)).toBe('');
  });

  it('accepts what a Synapse on the same machine adds', async () => {
    const drop = 'matrix-session.service.d';
    await cp(`deploy/synapse/${drop}`, join(directory, drop), { recursive: true });
    expect(await complaints(UNITS[0]!)).toBe('');
    await writeFile(join(directory, drop, 'wrong.conf'), '[Service]\nEnvironmnt=A=b\n');
    expect(await complaints(UNITS[0]!)).toContain('Environmnt');
  });

  it.each([
    ['a misspelt setting', /^NoNewPrivileges=/m, 'NoNewPrivilege='],
    ['a value that does not exist', /^ProtectSystem=.*$/m, 'ProtectSystem=strictly'],
    ['a program that is not there', /^ExecStart=\S+/m, 'ExecStart=/nowhere/node'],
  ])('would complain about %s', async (_, found, wrong) => {
    const unit = join(directory, UNITS[0]!);
    await writeFile(unit, (await readFile(unit, 'utf8')).replace(found, wrong));
    expect(await complaints(UNITS[0]!)).not.toBe('');
  });

  it.each(UNITS)('finds %s well confined', async (unit) => {
    const options = ['security', '--offline=yes', '--no-pager', '--threshold'];
    const exposure = (tenths: number, name: string) =>
      run(process.env['SYSTEMD_ANALYZE']!, [
        ...options.slice(0, -1),
        `--threshold=${tenths}`,
        join(directory, name),
      ]);
    await expect(exposure(20, unit)).resolves.toBeDefined();
    await mkdir(join(directory, 'plain'));
    await writeFile(join(directory, 'plain', unit), `[Service]\nExecStart=${process.execPath}\n`);
    await expect(exposure(20, join('plain', unit))).rejects.toMatchObject({ code: expect.any(Number) });
  });
});
