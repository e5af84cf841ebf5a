import { Inject, Module, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { Environment } from '../config/environment.js';
import { EVENT_TYPES } from '../events/event-types.js';
import { Subscribers } from '../outbox/subscribers.js';
import { NatsSubscriber } from './nats-subscriber.js';

const NATS = 'NATS';

/** Publishes every event on NATS if `NATS_URL` names a server. */
@Module({ providers: [{ provide: NATS, inject: [Environment], useFactory: connectTo }] })
export class NatsModule implements OnModuleInit, OnApplicationShutdown {
  constructor(
    @Inject(NATS) private readonly nats: NatsSubscriber | null,
    private readonly subscribers: Subscribers,
  ) {}

  onModuleInit(): void {
    if (this.nats !== null) this.subscribers.add(this.nats);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.nats?.close();
  }
}

/** Loads the package only when needed, because that takes time and most installations do not use NATS. */
async function connectTo(environment: Environment): Promise<NatsSubscriber | null> {
  const { natsUrl, natsSubjectPrefix: prefix, natsJetstream: isStored, eventDeliveryTimeoutMs } = environment;
  if (natsUrl === null) return null;
  const events = EVENT_TYPES.map(({ eventName }) => eventName);
  const target = { url: new URL(natsUrl), prefix, isStored, timeoutMs: eventDeliveryTimeoutMs };
  return new NatsSubscriber(target, events, await import('@nats-io/transport-node'));
}
