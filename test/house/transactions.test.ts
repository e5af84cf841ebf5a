import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, it } from 'vitest';

const src = fileURLToPath(new URL('../../src', import.meta.url));
/** This file explains why this is not allowed, and how to wait for several statements. */
const OWNER = 'database/tx.ts';

const isTx = (node: ts.Node): boolean =>
  (ts.isIdentifier(node) && node.text === 'tx') || (ts.forEachChild(node, isTx) ?? false);
const isPromiseGroup = ({ expression }: ts.CallExpression) =>
  /^Promise\.(all|allSettled|any|race)$/.test(expression.getText());

/** Returns the places where a file runs statements of a transaction in parallel, or does not wait for one. */
function faultsIn(file: ts.SourceFile): string[] {
  const faults: string[] = [];
  const visit = (node: ts.Node): void => {
    const isSideBySide = ts.isCallExpression(node) && isPromiseGroup(node) && node.arguments.some(isTx);
    const isLeftAlone =
      ts.isVoidExpression(node) && ts.isCallExpression(node.expression) && isTx(node.expression);
    if (isSideBySide || isLeftAlone) {
      const { line } = file.getLineAndCharacterOfPosition(node.getStart());
      faults.push(`${file.fileName}:${line + 1} ${node.getText().slice(0, 60)}`);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return faults;
}

it('Statements of a transaction are awaited in order: no Promise.all, and no statement without an await', async () => {
  const names = (await readdir(src, { recursive: true })).filter(
    (name) => name.endsWith('.ts') && name !== OWNER,
  );
  const parse = (name: string, text: string) => ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true);
  const files = await Promise.all(
    names.map(async (name) => parse(name, await readFile(join(src, name), 'utf8'))),
  );
  expect(files.flatMap(faultsIn)).toEqual([]);
  const wrong = `
    await Promise.all([this.store.lock(tx, one), this.store.put(tx, two)]);
    await Promise.race(items.map((item) => tx.query(ADD, [item])));
    void this.accounts.lock(tx, userId);`;
  expect(faultsIn(parse('wrong.ts', wrong))).toHaveLength(3);
});
