import { readFile } from 'node:fs/promises';

/** Reads a file of this repository. */
export function file(name: string): Promise<string> {
  return readFile(new URL(`../../${name}`, import.meta.url), 'utf8');
}

/** The variables of a file with a variable in each line. */
export function variablesIn(text: string): Record<string, string> {
  const lines = text.split('\n').filter((line) => /^[^#]/.test(line));
  return Object.fromEntries(lines.map((line) => /^(\w+)=(.*)$/.exec(line)!.slice(1) as [string, string]));
}

/** The settings of a systemd unit, in order. */
export function settingsIn(unit: string): [name: string, value: string][] {
  return [...unit.matchAll(/^(\w+)=(.*)$/gm)].map(([, name, value]) => [name!, value!]);
}

/** The variables that a unit sets. */
export function environmentOf(unit: string): Record<string, string> {
  const pairs = settingsIn(unit).flatMap(([name, value]) => (name === 'Environment' ? value.split(' ') : []));
  return variablesIn(pairs.join('\n'));
}
