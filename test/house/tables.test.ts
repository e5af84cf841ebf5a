import { expect, it } from 'vitest';
import { ownerOfTables, sources } from '../support/sources.js';

/**
 * Statements that name a table of another module, each with its reason. All others go through the module that owns
 * the table.
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

/** `name: '…', text: …` of a statement, up to the end of the text. */
const STATEMENT = /name: [`']([a-z_$:{}]+)[`'],\s*text:\s*(`[^`]*(?:`[^`]*`[^`]*)*?`|'[^']*')/g;
const TABLE = /\b(?:FROM|JOIN|INTO|UPDATE|USING)\s+([a-z_]+)\b(?!\s*\()/g;

it('Statements name only tables of their own module, with a few documented exceptions', async () => {
  const files = await sources();
  const ownerOf = await ownerOfTables();
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
