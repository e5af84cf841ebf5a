import { InvalidArgumentError } from 'commander';
import { milliseconds } from '../config/durations.js';

/** A duration as in the configuration, without its sign. */
const DURATION = /^\d+(ms|s|m|h|d)$/;

/**
 * Reads a point in time: an ISO 8601 date or time, milliseconds since the epoch, or how long ago it was, such as 30d.
 * Returns milliseconds since the epoch.
 */
export function pastTime(text: string): number {
  if (DURATION.test(text)) return Date.now() - milliseconds(text);
  return instant(text);
}

/** The same for a time to come: 30d is in thirty days. */
export function futureTime(text: string): number {
  if (DURATION.test(text)) return Date.now() + milliseconds(text);
  return instant(text);
}

export function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

/** The URL of a database of Synapse. */
export function synapseUrl(text: string): string {
  if (!/^postgres(?:ql)?:\/\//.test(text))
    throw new InvalidArgumentError('It must name the database of Synapse: postgresql://…');
  return text;
}

/** A user ID to begin behind. */
export function lastImported(text: string): string {
  if (!/^@.+:.+$/.test(text)) throw new InvalidArgumentError('It must be a user ID: @alice:example.org');
  return text;
}

/** Refuses an option that is given twice, of which only the last would count. */
export function once(text: string, before: string | undefined): string {
  if (before !== undefined) throw new InvalidArgumentError('It may be given once.');
  return text;
}

/** Collects the values of an option that may be given several times. */
export function collected(text: string, others: readonly string[] = []): string[] {
  return [...others, text];
}

/** The options of a command with the names that the endpoints for administrators give them. */
export function asParameters(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [
      name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      value,
    ]),
  );
}

/** The same as query parameters, which are text. */
export function asQuery(options: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(asParameters(options)).map(([name, value]) => [name, String(value)]),
  );
}

function instant(text: string): number {
  const ms = /^\d{12,14}$/.test(text)
    ? Number(text)
    : /^\d{4}-\d{2}-\d{2}/.test(text)
      ? Date.parse(text)
      : NaN;
  if (!Number.isFinite(ms))
    throw new InvalidArgumentError('It must be a time, such as 2026-01-31, 2026-01-31T12:00:00Z or 30d.');
  return ms;
}
