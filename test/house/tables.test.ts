import ts from 'typescript';
import { expect, it } from 'vitest';
import { ownerOfTables, sources } from '../support/sources.js';

/**
 * SQL that names a table of another module, by module, constant and table, each with its reason. All other SQL goes
 * through the module that owns the table.
 */
const ALLOWED: Record<string, string> = {
  'session FIND_ACCESS_TOKENS accounts': 'every request asks it: whose token is this, and may they act',
  'session FIND_ACCESS_TOKENS devices': 'the same',
  'session FIND_USABLE accounts': 'application services log in without a token',
  'session LOCK_FAMILIES devices': 'a refresh locks its device and its session with one statement',
  'session MARK_ALL devices': 'a user may have more devices than a statement can have values',
  'oauth PURGE refresh_tokens': 'a client with a session must not be forgotten',
  'keys QUERY devices': 'the name of a device is part of its keys',
  'keys QUERY accounts': 'users without keys are part of the answer, too',
  'keys CLAIM devices': 'a claim holds the devices whose keys it takes',
  'homeserver DEVICES devices': 'a table of Synapse, whose database is imported',
  'homeserver ACCESS_TOKENS access_tokens': 'the same',
  'homeserver REFRESH_TOKENS refresh_tokens': 'the same',
  'admin FIND accounts': 'administrators see users together with their devices, and only read',
  'admin PAGE accounts': 'the same',
  'admin SEEN devices': 'the same',
  'admin MISSING accounts': 'Who is to be spared must exist.',
  'admin MISSING devices': 'the same',
  'admin MEETS access_tokens': 'When a session was last refreshed is a condition.',
  'admin MEETS ending_devices': 'A session that has ended is no session, although its device is still there.',
  'admin JOINED accounts':
    'administrators see sessions together with their accounts and clients, and only read',
  'admin JOINED refresh_tokens': 'the same',
  'admin JOINED session_families': 'the same',
  'admin STILL_MEETING devices': 'the same',
  'admin page devices': 'the same',
  'audit INSERT_REFUSAL accounts': 'a name that nobody has may be a mistyped password',
  'devices DELETED accounts': 'counts what the listeners of teams delete',
  'devices DELETED devices': 'the same',
  'devices FILES accounts': 'notices a TRUNCATE by a listener of a team',
  'devices FILES devices': 'the same',
};

/** Texts and templates that hold SQL; prose does not spell these words in capitals. */
const SQL = /\b(?:SELECT|FROM|JOIN|INSERT INTO|UPDATE|DELETE|EXISTS|regclass)\b/;

/** The constants or methods of a file that hold SQL, with all of that SQL. */
function sqlOf(text: string): [holder: string, sql: string][] {
  const found: [string, string][] = [];
  const walk = (node: ts.Node, holder: string) => {
    const isNamed =
      ts.isVariableDeclaration(node) || ts.isMethodDeclaration(node) || ts.isFunctionDeclaration(node);
    const named = isNamed && node.name !== undefined ? node.name.getText() : holder;
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node)) {
      if (SQL.test(node.text)) found.push([named, node.text]);
    }
    ts.forEachChild(node, (child) => walk(child, named));
  };
  walk(ts.createSourceFile('x.ts', text, ts.ScriptTarget.Latest, true), 'the file');
  return found;
}

it('SQL names only tables of its own module, with a few documented exceptions', async () => {
  const files = await sources();
  const ownerOf = await ownerOfTables();
  expect(ownerOf.get('devices')).toBe('device-rows');
  const foreign = new Set(
    files.flatMap(({ module, text }) =>
      sqlOf(text).flatMap(([holder, sql]) =>
        [...ownerOf]
          .filter(([table, owner]) => owner !== module && new RegExp(`(?<![./\\w])${table}\\b`).test(sql))
          .map(([table]) => `${module} ${holder} ${table}`),
      ),
    ),
  );
  expect([...foreign].toSorted()).toEqual(Object.keys(ALLOWED).toSorted());
});
