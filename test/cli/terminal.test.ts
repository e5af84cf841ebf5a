import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { type Columns, NotConfirmed, Terminal, timeOf } from '../../src/cli/terminal.js';

/** Streams as those of a process, and what was written to them. */
function streams(isTTY: boolean, answer = '') {
  const stream = () => Object.assign(new PassThrough(), { isTTY });
  const [stdin, stdout, stderr] = [stream(), stream(), stream()];
  stdin.end(answer);
  const all = { out: '', err: '' };
  stdout.on('data', (chunk: Buffer) => (all.out += chunk.toString()));
  stderr.on('data', (chunk: Buffer) => (all.err += chunk.toString()));
  return { streams: { stdin, stdout, stderr }, all };
}

const FOR_PEOPLE = { json: false, yes: false, colors: true };

interface Person {
  name: string;
  admin: boolean | null;
}
const people: Person[] = [
  { name: 'alice', admin: true },
  { name: 'bob\u001B[2J\n', admin: null },
];
const columns: Columns<Person> = [
  ['Name', ({ name }) => name],
  ['Admin', ({ admin }) => admin],
];

describe('A terminal', () => {
  it('shows tables without trailing spaces, and nothing that a terminal would obey', async () => {
    const { streams: of } = streams(false);
    const table = await new Terminal(FOR_PEOPLE, of).table(people, columns, 'Nobody.');
    expect(table.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
      ['Name', 'Admin'],
      ['alice', 'yes'],
      ['bob\uFFFD[2J\uFFFD', '-'],
    ]);
    expect(table).not.toMatch(/ $/m);
    expect(await new Terminal(FOR_PEOPLE, of).table([], columns, 'Nobody.')).toBe('Nobody.');
  });

  it('is colored only where a person looks at it', () => {
    expect(new Terminal(FOR_PEOPLE, streams(true).streams).paint('red', 'x')).toBe('\u001B[31mx\u001B[39m');
    expect(new Terminal(FOR_PEOPLE, streams(false).streams).paint('red', 'x')).toBe('x');
    expect(new Terminal({ ...FOR_PEOPLE, json: true }, streams(true).streams).paint('red', 'x')).toBe('x');
    expect(new Terminal({ ...FOR_PEOPLE, colors: false }, streams(true).streams).paint('red', 'x')).toBe('x');
  });

  it('prints answers as a line of JSON for scripts', async () => {
    const { streams: of, all } = streams(true);
    await new Terminal({ ...FOR_PEOPLE, json: true }, of).answer({ a: 1 }, () => 'words');
    await new Terminal(FOR_PEOPLE, of).answer({ a: 1 }, () => 'words');
    expect(all.out).toBe('{"a":1}\nwords\n');
  });

  it.each(['y\n', 'YES\n'])('goes on if a person answers %j', async (answer) => {
    const { streams: of, all } = streams(true, answer);
    await new Terminal(FOR_PEOPLE, of).confirm('Really?');
    expect(all.err).toContain('Really? [y/N] ');
    expect(all.out).toBe('');
  });

  it.each(['n\n', '\n', 'yesterday\n'])('does not go on if a person answers %j', async (answer) => {
    const { streams: of } = streams(true, answer);
    await expect(new Terminal(FOR_PEOPLE, of).confirm('Really?')).rejects.toThrow(NotConfirmed);
  });

  it('asks nobody where nobody is, and needs --yes', async () => {
    const { streams: of, all } = streams(false, 'y\n');
    await expect(new Terminal(FOR_PEOPLE, of).confirm('Really?')).rejects.toThrow('--yes');
    await new Terminal({ ...FOR_PEOPLE, yes: true }, of).confirm('Really?');
    expect(all.err).toBe('');
  });

  it('shows a bar on a terminal only', async () => {
    for (const isTTY of [true, false]) {
      const { streams: of, all } = streams(isTTY);
      const work = async (show: (done: number) => void) => {
        show(5);
        throw new Error('Too long');
      };
      await expect(new Terminal(FOR_PEOPLE, of).progress(10, 'sessions', work)).rejects.toThrow('Too long');
      // The cursor is back.
      if (isTTY)
        expect(all.err.lastIndexOf('\u001B[?25h')).toBeGreaterThan(all.err.lastIndexOf('\u001B[?25l'));
      if (isTTY) expect(all.err).toContain('of 10 sessions');
      else expect(all.err).toBe('');
    }
  });

  it('writes times without fractions', () => {
    expect(timeOf(1_700_000_000_123)).toBe('2023-11-14T22:13:20Z');
    expect(timeOf(null)).toBeNull();
  });
});
