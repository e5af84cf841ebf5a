import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const src = fileURLToPath(new URL('../../src', import.meta.url));

/** A source file of the service: its module and its text. */
export interface Source {
  readonly module: string;
  readonly text: string;
}

/** Returns the files of all modules except the database and the testing kit. */
export async function sources(): Promise<Source[]> {
  const names = (await readdir(src, { recursive: true })).filter(
    (name) => name.includes('/') && name.endsWith('.ts') && !/^(database|testing)\//.test(name),
  );
  return Promise.all(
    names.map(async (name) => ({
      module: name.split('/')[0]!,
      text: await readFile(join(src, name), 'utf8'),
    })),
  );
}

/** Returns the tables of the service's entities, each with the module that owns it. */
export async function ownerOfTables(): Promise<Map<string, string>> {
  return new Map(
    (await sources()).flatMap(({ module, text }) =>
      [...text.matchAll(/@Entity\('([a-z_]+)'\)/g)].map(([, table]) => [table!, module] as const),
    ),
  );
}
