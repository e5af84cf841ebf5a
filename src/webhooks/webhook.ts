import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { toPublicJson } from '../outbox/public-json.js';
import type { EventMessage, Subscriber } from '../outbox/subscribers.js';

/** Secrets of Standard Webhooks: `whsec_` and 24 to 64 bytes in base64. */
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
  /** Names of the events on offer. */
  readonly events: readonly string[];
}

/** One target that events are posted to, signed as Standard Webhooks has it. */
export class Webhook implements Subscriber {
  readonly name: string;
  readonly events: readonly string[];
  private readonly url: string;
  private readonly key: Buffer;

  /** @throws {Error} saying what is wrong with the target */
  constructor(target: unknown, defaults: WebhookDefaults) {
    const { name, url, events, secret_file: file } = schema.parse(target);
    const { protocol, username, password } = new URL(url);
    const scheme = protocol.slice(0, -1);
    if (!defaults.schemes.includes(scheme))
      throw new Error(`${name}: the scheme of the URL must be one of ${defaults.schemes.join(', ')}`);
    if (username !== '' || password !== '')
      throw new Error(`${name}: the URL may hold no user and no password; the signature tells who posts`);
    const strange = events.find((event) => event !== '*' && !defaults.events.includes(event));
    if (strange !== undefined)
      throw new Error(`${name}: there is no event ${strange}; there are ${defaults.events.join(', ')}`);
    const secret = file === undefined ? defaults.secret : readFileSync(file, 'utf8').trim();
    const encoded = SECRET.exec(secret ?? '')?.[1];
    if (encoded === undefined)
      throw new Error(
        `${name}: needs a secret, whsec_ and 24 to 64 bytes in base64: secret_file or WEBHOOK_SECRET`,
      );
    this.name = `webhook:${name}`;
    this.url = url;
    this.events = events.includes('*') ? defaults.events : [...new Set(events)];
    this.key = Buffer.from(encoded, 'base64');
  }

  /** Posts the event. Anything but 2xx is a failure, redirects among them: nobody but the target gets the event. */
  async deliver(message: EventMessage, signal: AbortSignal): Promise<void> {
    const body = JSON.stringify(toPublicJson(message));
    const timestamp = Math.floor(Date.now() / 1_000);
    const signature = createHmac('sha256', this.key)
      .update(`${message.eventId}.${timestamp}.${body}`)
      .digest('base64');
    const response = await fetch(this.url, {
      method: 'POST',
      redirect: 'manual',
      signal,
      headers: {
        'Content-Type': 'application/json',
        'webhook-id': message.eventId,
        'webhook-timestamp': String(timestamp),
        'webhook-signature': `v1,${signature}`,
      },
      body,
    });
    await response.body?.cancel();
    if (!response.ok) throw new Error(`The target answered ${response.status}`);
  }
}
