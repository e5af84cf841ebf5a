import { setImmediate } from 'node:timers/promises';
import type { ClientNats } from '@nestjs/microservices';
import type { NatsConnection } from '@nats-io/transport-node';
import { toPublicJson } from '../outbox/public-json.js';
import type { EventMessage, Subscriber } from '../outbox/subscribers.js';

/** What the packages offer that are loaded only where NATS is used. */
export interface NatsPackages {
  readonly microservices: typeof import('@nestjs/microservices');
  readonly nats: typeof import('@nats-io/transport-node');
}

/** Where and how events are published. */
export interface NatsTarget {
  readonly url: URL;
  readonly prefix: string;
  /** Whether a JetStream stream must have stored an event. */
  readonly isStored: boolean;
  readonly timeoutMs: number;
}

/** Publishes events on NATS, in the form of Nest's own NATS transport: `@EventPattern` hears them. */
export class NatsSubscriber implements Subscriber {
  readonly name = 'nats';
  private readonly client: ClientNats;
  private watched: NatsConnection | undefined;
  /** How often the server has refused each subject. */
  private readonly refusals = new Map<string, number>();

  constructor(
    private readonly target: NatsTarget,
    readonly events: readonly string[],
    private readonly packages: NatsPackages,
  ) {
    const { url } = target;
    const [user, pass] = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
    this.client = new packages.microservices.ClientNats({
      servers: [`${url.protocol}//${url.host}`],
      ...(pass === '' ? (user === '' ? {} : { token: user }) : { user, pass }),
      // The client takes the scheme for no more than a hint: without this it would go on in the clear.
      ...(url.protocol === 'tls:' ? { tls: {} } : {}),
      // The outbox tries again by itself, for as long as it takes.
      maxReconnectAttempts: -1,
    });
  }

  /** Resolves when the server has answered for the message: a publisher alone never learns whether it arrived. */
  async deliver(message: EventMessage, signal: AbortSignal): Promise<void> {
    const connection = (await this.client.connect()) as NatsConnection;
    this.watch(connection);
    // Its lease is about to end: another node may be at it.
    signal.throwIfAborted();
    const subject = `${this.target.prefix}.${message.event}`;
    const data = { id: message.eventId, ...toPublicJson(message) };
    const headers = this.packages.nats.headers();
    // JetStream drops repetitions by it.
    headers.set('Nats-Msg-Id', message.eventId);
    const publish = this.target.isStored ? this.store.bind(this) : this.send.bind(this);
    await publish(connection, subject, JSON.stringify({ pattern: subject, data }), { headers });
  }

  close(): Promise<void> {
    return this.client.close();
  }

  private async send(...[connection, subject, payload, options]: Publication): Promise<void> {
    const refusals = this.refusals.get(subject);
    connection.publish(subject, payload, options);
    await connection.flush();
    // A refusal comes before the answer to the flush, and is told a little later.
    await setImmediate();
    if (this.refusals.get(subject) !== refusals) throw new Error(`The server refuses to publish ${subject}`);
  }

  private async store(...[connection, subject, payload, options]: Publication): Promise<void> {
    const { timeoutMs: timeout } = this.target;
    const answer = await connection.request(subject, payload, { ...options, timeout });
    const { stream, error } = answer.json<{ stream?: string; error?: { description?: string } }>();
    if (error !== undefined || stream === undefined)
      throw new Error(`No stream has stored it: ${error?.description ?? answer.string().slice(0, 100)}`);
  }

  /** NATS answers what is not permitted on the side, and goes on. */
  private watch(connection: NatsConnection): void {
    if (this.watched === connection) return;
    this.watched = connection;
    const { PermissionViolationError } = this.packages.nats;
    void (async () => {
      for await (const status of connection.status()) {
        if (status.type !== 'error' || !(status.error instanceof PermissionViolationError)) continue;
        const { subject } = status.error;
        this.refusals.set(subject, (this.refusals.get(subject) ?? 0) + 1);
      }
    })();
  }
}

type Publication = [
  connection: NatsConnection,
  subject: string,
  payload: string,
  options: NonNullable<Parameters<NatsConnection['publish']>[2]>,
];
