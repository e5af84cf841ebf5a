import { execFile } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { Actions } from '../../src/cli/context.js';
import { programOf } from '../../src/cli/program.js';
import { temporaryDirectory } from '../../src/testing/test-postgres.js';
import { commandLine } from '../support/command-line.js';

const run = commandLine({});

/** The commands that do something, with all words that lead there. */
function leaves(command: Command, words: readonly string[] = []): [string, Command][] {
  if (command.commands.length === 0) return [[words.join(' '), command]];
  return command.commands.flatMap((one) => leaves(one, [...words, one.name()]));
}

function helpOf(command: Command): string {
  let help = '';
  command.configureOutput({ writeOut: (text) => (help += text) });
  command.outputHelp();
  return help;
}

describe('The help of', () => {
  it.each(leaves(programOf(new Actions({}))))(
    '%s has a description and examples of this command',
    (words, command) => {
      expect(command.description()).not.toBe('');
      const help = helpOf(command);
      expect(help).toContain('Examples:\n');
      for (const [, example] of help.matchAll(/^ {2}(matrix-session .+)$/gm))
        expect(example).toMatch(new RegExp(`^matrix-session ${words}(?: |$)`));
      expect(help).toContain('--json');
    },
  );

  it('every example can be read', async () => {
    for (const [, command] of leaves(programOf(new Actions({})))) {
      for (const [, example] of helpOf(command).matchAll(/^ {2}matrix-session (.+)$/gm)) {
        const program = programOf(new Actions({}));
        for (const [, one] of leaves(program)) one.action(() => {});
        const words = [...example!.replace(/ <.*/, '').matchAll(/"([^"]*)"|(\S+)/g)].map(
          ([, quoted, word]) => quoted ?? word!,
        );
        await expect(program.parseAsync(words, { from: 'user' })).resolves.toBe(program);
      }
    }
  });
});

describe('matrix-session', () => {
  it('names the command that was probably meant, and exits with 2', async () => {
    const outcomes = await Promise.all([
      run('user'),
      run('users', 'lst'),
      run('sessions', 'end', '--usr', 'x'),
    ]);
    expect(outcomes.map(({ code }) => code)).toEqual([2, 2, 2]);
    expect(outcomes[0].err).toContain('Did you mean users?');
    expect(outcomes[1].err).toContain('Did you mean list?');
    expect(outcomes[2].err).toContain('Did you mean --user?');
  });

  it('completes commands and options, by a script for each shell', async () => {
    const [commands, options, ...scripts] = await Promise.all([
      run('complete', '--', 'users', 'gra'),
      run('complete', '--', 'sessions', 'end', '--see'),
      ...['bash', 'zsh', 'fish', 'powershell'].map((shell) => run('completion', shell)),
    ]);
    expect(commands.out).toContain('grant-admin\tmake a user an administrator');
    expect(options.out).toContain('--seen-before\t');
    for (const { code, out } of scripts) {
      expect(code).toBe(0);
      expect(out).toContain('matrix-session');
    }
  });

  it('is completed by bash', async () => {
    const bin = await temporaryDirectory();
    const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
    await writeFile(join(bin, 'matrix-session'), `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`);
    await chmod(join(bin, 'matrix-session'), 0o755);
    const script = `
      # What the package bash-completion brings.
      _get_comp_words_by_ref() { words=("\${COMP_WORDS[@]}"); cur=\${COMP_WORDS[COMP_CWORD]}; }
      source <(matrix-session completion bash)
      COMP_WORDS=(matrix-session users gra) COMP_CWORD=2
      $(complete -p matrix-session | sed 's/.*-F \\([^ ]*\\).*/\\1/')
      echo "\${COMPREPLY[@]}"`;
    const env = { PATH: `${bin}:${process.env['PATH']}` };
    const { stdout } = await promisify(execFile)('bash', ['-c', script], { env, cwd: bin });
    expect(stdout.trim()).toBe('grant-admin');
  });
});
