import { type Command, Option } from 'commander';
import { once, pastTime, wholeNumber } from '../arguments.js';

export const KINDS = ['user', 'guest', 'appservice'];

/** Adds the options of a list. */
export function paged(command: Command): Command {
  return command
    .option('--limit <number>', 'how many at most (default: 100)', wholeNumber)
    .option('--from <position>', 'go on where an earlier list ended')
    .option('--all', 'show every page');
}

/** Adds the conditions that sessions may have to meet. */
export function sessionConditions(command: Command): Command {
  return command
    .option('--user <user>', 'of this user', once)
    .option('--device-id <device>', 'on a device of this ID')
    .option('--client-id <client>', 'of this OAuth 2.0 client')
    .option('--user-agent <text>', 'last seen with a User-Agent that contains this text')
    .option('--address <network>', 'last seen at this address, or in this network')
    .option('--seen-before <time>', 'last seen before this time', pastTime)
    .option('--created-before <time>', 'begun before this time', pastTime)
    .option('--refreshed-before <time>', 'begun, and last refreshed, before this time', pastTime)
    .addOption(new Option('--kind <kind>', 'of accounts of this kind').choices(KINDS));
}

/** Says how times are written. */
export const TIMES = `
Times are dates (2026-01-31), times (2026-01-31T12:00:00Z), or ages (90m, 12h, 30d).`;

export function examples(...lines: string[]): string {
  return ['', 'Examples:', ...lines.map((line) => `  matrix-session ${line}`)].join('\n');
}
