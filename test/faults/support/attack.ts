import { readFile } from 'node:fs/promises';
import { expect, type TestContext } from 'vitest';

/** What an attack came to. */
export interface Outcome {
  /** How often it was tried, and what that counts. */
  readonly trials: number;
  readonly of: string;
  readonly violations: readonly string[];
  /** The longest that a client waited for an answer. */
  readonly worstMs?: number;
  /** The most that a process of the service held, in megabytes. */
  readonly memoryMb?: number;
  /** What else there is to know, such as a ratio. */
  readonly note?: string;
}

declare module 'vitest' {
  interface TaskMeta {
    attack?: Outcome;
  }
}

/** Puts the outcome into the report, and requires that nothing was violated. */
export function conclude({ task }: TestContext, outcome: Outcome): void {
  task.meta.attack = { ...outcome, violations: outcome.violations.slice(0, 100) };
  // The first few tell what happened; a thousand would not be read.
  expect(outcome.violations.slice(0, 10)).toEqual([]);
}

/** The most that a process has held so far, in megabytes. */
export const peakMb = (pid: number) => memoryOf(pid, 'VmHWM');

/** What a process holds now, in megabytes. */
export const residentMb = (pid: number) => memoryOf(pid, 'VmRSS');

async function memoryOf(pid: number, field: 'VmHWM' | 'VmRSS'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)![1]) / 1_024;
}
