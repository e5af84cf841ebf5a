import { setImmediate } from 'node:timers/promises';
import type { NatsConnection, NodeConnectionOptions } from '@nats-io/transport-node';
import { toPublicJson } from '../outbox/public-json.js';
import type { EventMessage, Subscriber } from '../outbox/subscribers.js';

/** The package, which is loaded only if NATS is used. */
export type NatsPackage = typeof import('@nats-io/transport-node');

/** Where and how events are published. */
export interface NatsTarget {
  readonly url: URL;
  readonly prefix: string;
  /** Whether a JetStream stream must confirm that it has stored each event. */
  readonly isStored: boolean;
  readonly timeoutMs: number;
}

/** Publishes events on NATS in the format of Nest's NATS transport, so `@EventPattern` receives them. */
export class NatsSubscriber implements Subscriber {
  readonly name = 'nats';
  private connection: Promise<NatsConnection> | undefined;
  private isClosed = false;
  /** How often the server has refused each subject. */
  private readonly refusals = new Map<string, number>();

  constructor(
    private readonly target: NatsTarget,
    readonly events: readonly string[],
    private readonly nats: NatsPackage,
  ) {}

  /** Resolves when the server has confirmed the message. Publishing alone does not tell whether it arrived. */
  async deliver(message: EventMessage, signal: AbortSignal): Promise<void> {
    const connection = await this.connect();
    // Once aborted, the lease is about to end, and another node may deliver the event.
    signal.throwIfAborted();
    const subject = `${this.target.prefix}.${message.event}`;
    const data = { id: message.eventId, ...toPublicJson(message) };
    const headers = this.nats.headers();
    // JetStream uses it to drop repetitions.
    headers.set('Nats-Msg-Id', message.eventId);
    const publish = this.target.isStored ? this.store.bind(this) : this.send.bind(this);
    await publish(connection, subject, JSON.stringify({ pattern: subject, data }), { headers });
  }

  async close(): Promise<void> {
    this.isClosed = true;
    const connection = await this.connection?.catch(() => undefined);
    await connection?.close();
  }

  /** One connection, which reconnects by itself. If the first attempt fails, the next delivery makes another. */
  private async connect(): Promise<NatsConnection> {
    if (this.isClosed) throw new Error('The connection to NATS is closed');
    const mine = (this.connection ??= this.nats.connect(natsOptions(this.target.url)).then((connection) => {
      this.watch(connection);
      return connection;
    }));
    try {
      const connection = await mine;
      if (!connection.isClosed()) return connection;
    } catch (error) {
      this.forget(mine);
      throw error;
    }
    this.forget(mine);
    return this.connect();
  }

  /** Others that have waited for the same connection may have opened the next one already. */
  private forget(connection: Promise<NatsConnection>): void {
    if (this.connection === connection) this.connection = undefined;
  }

  private async send(...[connection, subject, payload, options]: Publication): Promise<void> {
    const refusals = this.refusals.get(subject);
    connection.publish(subject, payload, options);
    await connection.flush();
    // A refusal arrives before the answer to the flush, but `watch` sees it a little later.
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

  /** Counts publications that are not permitted: NATS reports them separately and keeps the connection open. */
  private watch(connection: NatsConnection): void {
    const { PermissionViolationError } = this.nats;
    void (async () => {
      for await (const status of connection.status()) {
        if (status.type !== 'error' || !(status.error instanceof PermissionViolationError)) continue;
        const { subject } = status.error;
        this.refusals.set(subject, (this.refusals.get(subject) ?? 0) + 1);
      }
    })();
  }
}

/** How to connect to the server that `NATS_URL` names. */
export function natsOptions(url: URL): NodeConnectionOptions {
  const [user, pass] = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
  return {
    servers: [`${url.protocol}//${url.host}`],
    ...(pass === '' ? (user === '' ? {} : { token: user }) : { user, pass }),
    // The package takes the scheme only as a hint: without this it would connect without TLS.
    ...(url.protocol === 'tls:' ? { tls: {} } : {}),
    // Never give up: the outbox retries deliveries for as long as it takes.
    maxReconnectAttempts: -1,
  };
}

type Publication = [
  connection: NatsConnection,
  subject: string,
  payload: string,
  options: NonNullable<Parameters<NatsConnection['publish']>[2]>,
];
