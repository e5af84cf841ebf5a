import { Injectable, type OnModuleInit } from '@nestjs/common';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import { type Delivery, subscriptionsOf } from '../events/after-commit.decorator.js';
import type { SessionEvent, SessionEventType } from '../events/session-event.js';
import { type EventMessage, Subscribers } from './subscribers.js';

interface Handler {
  readonly event: SessionEventType;
  readonly handle: (event: SessionEvent, delivery: Delivery) => Promise<void>;
}

/** Finds the methods with `@AfterCommit()`. */
@Injectable()
export class AfterCommitExplorer implements OnModuleInit {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
    private readonly subscribers: Subscribers,
  ) {}

  onModuleInit(): void {
    const handlers = new Map<string, Map<string, Handler>>();
    const wrappers = [...this.discovery.getProviders(), ...this.discovery.getControllers()];
    const statics = new Set<unknown>();
    for (const wrapper of wrappers) {
      if (wrapper.isDependencyTreeStatic()) statics.add(wrapper.instance);
      else this.refuse(wrapper.metatype);
    }
    // One instance may be registered under several tokens.
    for (const instance of statics) {
      if (typeof instance !== 'object' || instance === null) continue;
      const methods = instance as Record<string, (event: SessionEvent, delivery: Delivery) => Promise<void>>;
      for (const method of this.scanner.getAllMethodNames(Object.getPrototypeOf(instance) as object)) {
        for (const { event, subscriber } of subscriptionsOf(methods[method]!)) {
          const own = handlers.get(subscriber) ?? new Map<string, Handler>();
          if (own.has(event.eventName))
            throw new Error(`Two methods hear of ${event.eventName} under the name ${subscriber}`);
          own.set(event.eventName, { event, handle: (...args) => methods[method]!(...args) });
          handlers.set(subscriber, own);
        }
      }
    }
    for (const [name, own] of handlers) {
      this.subscribers.add({
        name,
        events: [...own.keys()],
        deliver: async (message, signal) => {
          const { event, handle } = own.get(message.event)!;
          await handle(revive(event, message), deliveryOf(message, signal));
        },
      });
    }
  }

  /** Instances of request-scoped providers no longer exist when an event is delivered. */
  private refuse(type: unknown): void {
    const prototype = (typeof type === 'function' ? type.prototype : null) as Record<string, object> | null;
    if (prototype === null) return;
    for (const method of this.scanner.getAllMethodNames(prototype))
      if (subscriptionsOf(prototype[method]!).length > 0)
        throw new Error(
          `${(type as Function).name}: @AfterCommit() needs a provider that is not request-scoped`,
        );
  }
}

/** The event as it was published, but with the data of one user only. */
function revive(event: SessionEventType, { payload }: EventMessage): SessionEvent {
  return Object.assign(Object.create(event.prototype as object) as SessionEvent, payload);
}

function deliveryOf({ eventId, attempt, occurredAt }: EventMessage, signal: AbortSignal): Delivery {
  return { eventId, attempt, occurredAt, signal };
}
