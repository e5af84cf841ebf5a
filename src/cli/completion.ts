import type { Command } from 'commander';

/** Adds `completion`, which prints a script for a shell, and what that script asks for. */
export async function addCompletion(program: Command): Promise<void> {
  const { default: complete } = await import('@bomb.sh/tab/commander');
  complete(program, { completionCommandName: 'completion' });
}
