import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';

interface Lock {
  readonly packages: Record<string, { readonly optionalDependencies?: Record<string, string> }>;
}

// npm leaves out what the machine of the day has not installed, and then `npm ci` refuses the file everywhere.
it('package-lock.json has the binaries of every platform', async () => {
  const { packages }: Lock = JSON.parse(
    await readFile(new URL('../../package-lock.json', import.meta.url), 'utf8'),
  );
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
