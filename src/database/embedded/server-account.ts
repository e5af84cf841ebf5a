import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';

/** The user that a server process runs as. `undefined` means the user that runs Node. */
export interface ServerAccount {
  readonly uid: number;
  readonly gid: number;
}

const run = promisify(execFile);

/** PostgreSQL refuses to run as root, so root starts it as `nobody`. */
export async function serverAccount(): Promise<ServerAccount | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const [uid, gid] = await Promise.all(
    ['-u', '-g'].map(async (flag) => Number((await run('id', [flag, 'nobody'])).stdout)),
  );
  return { uid: uid!, gid: gid! };
}

/** Whether `account` can reach what is in `directory`: every folder on the path must let others pass. */
export async function canReach(directory: string, account: ServerAccount | undefined): Promise<boolean> {
  if (account === undefined) return true;
  const OTHERS_PASS = 0o001;
  for (let path = directory; ; path = dirname(path)) {
    const { mode } = await stat(path);
    if ((mode & OTHERS_PASS) === 0) return false;
    if (path === dirname(path)) return true;
  }
}
