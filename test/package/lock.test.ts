import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';

interface Locked {
  readonly optionalDependencies?: Record<string, string>;
  readonly license?: string;
  readonly dev?: boolean;
}

const read = async (): Promise<Record<string, Locked>> => {
  const text = await readFile(new URL('../../package-lock.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { packages: Record<string, Locked> }).packages;
};

// npm leaves out what the machine of the day has not installed, and then `npm ci` refuses the file everywhere.
it('package-lock.json has the binaries of every platform', async () => {
  const packages = await read();
  const isLocked = (from: string, name: string): boolean => {
    if (`${from}node_modules/${name}` in packages) return true;
    const outer = from.lastIndexOf('node_modules/', from.length - 'node_modules/'.length);
    return from !== '' && isLocked(outer === -1 ? '' : from.slice(0, outer), name);
  };
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter((name) => !isLocked(path === '' ? '' : `${path}/`, name)),
  );
  expect(missing).toEqual([]);
});

const PERMISSIVE = new Set([
  'MIT',
  'ISC',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  '0BSD',
  'Unlicense',
  'Python-2.0',
]);
/** Packages that name their licence, MIT, in a field of old. */
const MIT_OF_OLD = ['busboy', 'passport-http-bearer', 'passport-strategy', 'streamsearch'];

it('What runs in production has a permissive licence', async () => {
  const others = Object.entries(await read()).filter(
    ([path, { license = '', dev = false }]) =>
      path !== '' &&
      !dev &&
      !PERMISSIVE.has(license) &&
      !MIT_OF_OLD.some((name) => path === `node_modules/${name}`),
  );
  expect(others).toEqual([]);
});
