import { execFile } from 'node:child_process';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { temporaryDirectory } from '../../../src/testing/test-postgres.js';

const run = promisify(execFile);
const SIZE = '256m';
const CHUNK = Buffer.alloc(64 * 1_024);

/** A file system in memory that is small enough to be filled. Only root can mount it. */
export class SmallVolume {
  static async mount(): Promise<SmallVolume> {
    const directory = await temporaryDirectory();
    await run('mount', ['-t', 'tmpfs', '-o', `size=${SIZE},mode=755`, 'tmpfs', directory]);
    return new SmallVolume(directory);
  }

  private constructor(private readonly mounted: string) {}

  /** Where PostgreSQL may put its files. */
  get directory(): string {
    return join(this.mounted, 'data');
  }

  /** Leaves no room for anybody. */
  async fill(): Promise<void> {
    const file = await open(this.ballast, 'a');
    try {
      for (;;) await file.write(CHUNK);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    } finally {
      await file.close();
    }
  }

  async free(): Promise<void> {
    await rm(this.ballast, { force: true });
  }

  async unmount(): Promise<void> {
    await run('umount', [this.mounted]);
    await rm(this.mounted, { recursive: true, force: true });
  }

  private get ballast(): string {
    return join(this.mounted, 'ballast');
  }
}
