import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const LONGEST = 120;

/** Returns the files in these folders that have this ending. */
function filesOf(folders: readonly string[], ending: string): string[] {
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: folder !== '.' })
      .map((name) => join(folder, String(name)))
      .filter((name) => name.endsWith(ending) && !/node_modules|\.build/.test(name)),
  );
}

/** Returns the places of lines that are too long. */
function tooLong(file: string, isProse: (line: string) => boolean): string[] {
  return readFileSync(join(root, file), 'utf8')
    .split('\n')
    .map((line, at) => ({ line, place: `${file}:${at + 1}` }))
    .filter(({ line }) => isProse(line) && line.length > LONGEST)
    .map(({ place }) => place);
}

describe('Prose', () => {
  it(`has lines of at most ${LONGEST} characters in comments`, () => {
    const files = filesOf(['src', 'test', 'bench', 'examples'], '.ts');
    expect(files.length).toBeGreaterThan(200);
    expect(files.flatMap((file) => tooLong(file, (line) => /^\s*(?:\/\/|\/?\*)/.test(line)))).toEqual([]);
  });

  it('has such lines in documents, except in tables and code', () => {
    const documents = filesOf(['.', 'docs'], '.md');
    expect(documents).toContain('README.md');
    const long = documents.flatMap((file) => {
      let isCode = false;
      return tooLong(file, (line) => {
        if (line.trimStart().startsWith('```')) isCode = !isCode;
        return !isCode && !line.trimStart().startsWith('|');
      });
    });
    expect(long).toEqual([]);
  });
});
