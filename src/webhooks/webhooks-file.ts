import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import * as z from 'zod';
import { type Environment, EnvironmentError } from '../config/environment.js';
import { EVENT_TYPES } from '../events/event-types.js';
import { Webhook } from './webhook.js';

const file = z.strictObject({ webhooks: z.array(z.unknown()) }, { error: 'it holds a list of webhooks' });

/**
 * Reads the targets in `WEBHOOKS_FILE`.
 * @throws {EnvironmentError} that says what is wrong with the file
 */
export function webhooksOf({ webhooksFile, webhookSecret, webhookSchemes }: Environment): Webhook[] {
  if (webhooksFile === null) return [];
  const events = EVENT_TYPES.map(({ eventName }) => eventName);
  try {
    const { webhooks } = file.parse(parse(readFileSync(webhooksFile, 'utf8')));
    const targets = webhooks.map(
      (target) => new Webhook(target, { secret: webhookSecret, schemes: webhookSchemes, events }),
    );
    const names = targets.map(({ name }) => name);
    if (new Set(names).size < names.length) throw new Error('two targets have the same name');
    return targets;
  } catch (error) {
    throw new EnvironmentError([`WEBHOOKS_FILE is not right: ${webhooksFile}: ${reasonOf(error)}`]);
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof z.ZodError)) return error instanceof Error ? error.message : String(error);
  return error.issues.map(({ path, message }) => [...path, message].join(': ')).join('; ');
}
