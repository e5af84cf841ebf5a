import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const src = fileURLToPath(new URL('../../src', import.meta.url));

/**
 * Statements that name a table of another module, each with its reason. All others go through the module that owns the
 * table.
 */
const ALLOWED: Record<string, string> = {
  'session session_find_access_tokens accounts': 'every request asks it: whose token, and may they act',
  'session session_find_access_tokens devices': 'the same',
  'session session_find_usable accounts': 'application services sign in without a token',
  'session session_lock_families devices': 'a refresh locks its device with its session, by one statement',
  'session ending_mark_all devices': 'a user may have more devices than a statement has values',
  'keys keys_query devices': 'the name of a device is part of its keys',
  'keys keys_query accounts': 'users without keys are there, too',
  'keys keys_claim devices': 'a claim holds the devices whose keys it takes',
  'audit audit_insert_refusal accounts': 'what is refused to a name of nobody may be a mistyped password',
};

/** The module that a file belongs to, and its text. */
async function sources(): Promise<{ module: string; text: string }[]> {
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

/** `name: '…', text: …` of a statement, up to the end of the text. */
const STATEMENT = /name: [`']([a-z_$:{}]+)[`'],\s*text:\s*(`[^`]*(?:`[^`]*`[^`]*)*?`|'[^']*')/g;
const TABLE = /\b(?:FROM|JOIN|INTO|UPDATE|USING)\s+([a-z_]+)\b(?!\s*\()/g;

it('Statements name tables of their own module, but for a few with a reason', async () => {
  const files = await sources();
  const ownerOf = new Map(
    files.flatMap(({ module, text }) =>
      [...text.matchAll(/@Entity\('([a-z_]+)'\)/g)].map(([, table]) => [table!, module] as const),
    ),
  );
  expect(ownerOf.get('devices')).toBe('device-rows');
  const foreign = new Set(
    files.flatMap(({ module, text }) =>
      [...text.matchAll(STATEMENT)].flatMap(([, name, sql]) =>
        [...sql!.matchAll(TABLE)]
          .map(([, table]) => table!)
          .filter((table) => ownerOf.has(table) && ownerOf.get(table) !== module)
          .map((table) => `${module} ${name!.replace(/_\$.*$/, '')} ${table}`),
      ),
    ),
  );
  expect([...foreign].toSorted()).toEqual(Object.keys(ALLOWED).toSorted());
});
