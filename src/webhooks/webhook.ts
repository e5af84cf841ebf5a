import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as z from 'zod';
import { toPublicJson } from '../outbox/public-json.js';
import type { EventMessage, Subscriber } from '../outbox/subscribers.js';

/** A secret of Standard Webhooks: `whsec_` and 24 to 64 bytes in base64. */
const SECRET = /^whsec_([A-Za-z0-9+/]{32,88}={0,2})$/;

const schema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'a name of a-z, 0-9 and hyphens'),
  url: z.url('a URL'),
  events: z.array(z.string()).min(1, 'at least one event'),
  secret_file: z.string().optional(),
});

/** What all targets share. */
export interface WebhookDefaults {
  readonly secret: string | null;
  readonly schemes: readonly string[];
  /** Names of all events. */
  readonly events: readonly string[];
}

/** One target of events, which are signed as Standard Webhooks specifies. */
export class Webhook implements Subscriber {
  readonly name: string;
  readonly events: readonly string[];
  readonly url: string;
  /** The current key and, while it is being replaced, also the next or previous one. */
  private readonly keys: readonly Buffer[];

  /** @throws {Error} that says what is wrong with the target */
  constructor(target: unknown, defaults: WebhookDefaults) {
    const { name, url, events, secret_file: file } = parse(target);
    const { protocol, username, password } = new URL(url);
    const scheme = protocol.slice(0, -1);
    if (!defaults.schemes.includes(scheme))
      throw new Error(`${name}: the scheme of the URL must be one of ${defaults.schemes.join(', ')}`);
    if (username !== '' || password !== '')
      throw new Error(`${name}: the URL may hold no user and no password; the signature tells who posts`);
    const strange = events.find((event) => event !== '*' && !defaults.events.includes(event));
    if (strange !== undefined)
      throw new Error(`${name}: there is no event ${strange}; there are ${defaults.events.join(', ')}`);
    const secrets = file === undefined ? defaults.secret : read(name, file);
    if (secrets === null) throw new Error(`${name}: needs a secret: secret_file or WEBHOOK_SECRET`);
    this.name = `webhook:${name}`;
    this.url = url;
    this.events = events.includes('*') ? defaults.events : [...new Set(events)];
    this.keys = secrets
      .trim()
      .split(/\s+/)
      .map((secret) => toKey(secret, `${name}: ${file ?? 'WEBHOOK_SECRET'}`));
  }

  /** Posts the event. Anything but 2xx is a failure, even a redirect, because only the target may get the event. */
  async deliver(message: EventMessage, signal: AbortSignal): Promise<void> {
    const body = JSON.stringify(toPublicJson(message));
    const timestamp = Math.floor(Date.now() / 1_000);
    const signed = `${message.eventId}.${timestamp}.${body}`;
    const signatures = this.keys.map(
      (key) => `v1,${createHmac('sha256', key).update(signed).digest('base64')}`,
    );
    const response = await fetch(this.url, {
      method: 'POST',
      redirect: 'manual',
      signal,
      headers: {
        'Content-Type': 'application/json',
        'webhook-id': message.eventId,
        'webhook-timestamp': String(timestamp),
        'webhook-signature': signatures.join(' '),
      },
      body,
    });
    await response.body?.cancel();
    if (!response.ok) throw new Error(`The target answered ${response.status}`);
  }
}

/** Validates the shape of a target. Errors contain its name. */
function parse(target: unknown): z.infer<typeof schema> {
  const { success, data, error } = schema.safeParse(target);
  if (success) return data;
  const { name } = (target ?? {}) as { name?: unknown };
  const wrong = error.issues.map(
    ({ path, message }) => `${path.join('.')}${path.length > 0 ? ' must be ' : ''}${message}`,
  );
  throw new Error(`${typeof name === 'string' ? name : 'a target without a name'}: ${wrong.join('; ')}`);
}

function read(name: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`${name}: secret_file cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

function toKey(secret: string, where: string): Buffer {
  const encoded = SECRET.exec(secret)?.[1];
  if (encoded === undefined)
    throw new Error(`${where} must hold secrets of whsec_ and 24 to 64 bytes in base64`);
  return Buffer.from(encoded, 'base64');
}
