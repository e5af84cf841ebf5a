import type { ClientNats } from '@nestjs/microservices';
import type { NatsConnection } from '@nats-io/transport-node';
import { toPublicJson } from '../outbox/public-json.js';
import type { EventMessage, Subscriber } from '../outbox/subscribers.js';

/** What the packages offer that are loaded only where NATS is used. */
export interface NatsPackages {
  readonly microservices: typeof import('@nestjs/microservices');
  readonly nats: typeof import('@nats-io/transport-node');
}

/** Publishes events on NATS, as Nest's own NATS transport does: `@EventPattern` hears them. */
export class NatsSubscriber implements Subscriber {
  readonly name = 'nats';
  private readonly client: ClientNats;

  constructor(
    url: URL,
    private readonly prefix: string,
    readonly events: readonly string[],
    private readonly packages: NatsPackages,
  ) {
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
    // Its lease is about to end: another node may be at it.
    signal.throwIfAborted();
    const headers = this.packages.nats.headers();
    // JetStream drops repetitions by it.
    headers.set('Nats-Msg-Id', message.eventId);
    const record = new this.packages.microservices.NatsRecordBuilder({
      id: message.eventId,
      ...toPublicJson(message),
    })
      .setHeaders(headers)
      .build();
    await new Promise<void>((resolve, reject) => {
      this.client
        .emit(`${this.prefix}.${message.event}`, record)
        .subscribe({ complete: resolve, error: reject });
    });
    await connection.flush();
  }

  close(): Promise<void> {
    return this.client.close();
  }
}
