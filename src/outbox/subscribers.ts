import { Injectable } from '@nestjs/common';
import type { SessionEvent } from '../events/session-event.js';

/** One event of one user, on its way to a subscriber. */
export interface EventMessage {
  readonly eventId: string;
  /** Name of the event. */
  readonly event: string;
  readonly userId: string;
  /** The fields of the event. */
  readonly payload: object;
  readonly occurredAt: Date;
  /** 1 for the first attempt. */
  readonly attempt: number;
}

/** Gets events after their commit. */
export interface Subscriber {
  /** Its deliveries are stored under this name. */
  readonly name: string;
  readonly events: readonly string[];
  /** Resolves when the subscriber has received the message. If it rejects, it is called again. */
  deliver(message: EventMessage, signal: AbortSignal): Promise<void>;
  /** How it is delivered to, if not as the variables `EVENT_…` say. */
  readonly terms?: DeliveryTerms;
  /** Called after each commit with the events for this subscriber that it recorded; requests wait for it. */
  afterCommit?(recorded: readonly RecordedEvent[]): Promise<void>;
}

/** How a subscriber is delivered to. */
export interface DeliveryTerms {
  /** For how many users at the same time. */
  readonly atOnce: number;
  /** How long one delivery may take. */
  readonly timeoutMs: number;
  /** The pauses between attempts grow up to this. */
  readonly longestPauseMs: number;
  /** After how many attempts a delivery is buried. */
  readonly maxAttempts: number;
}

/** An event that a transaction recorded, or the part of it that is about one user. */
export interface RecordedEvent {
  readonly eventId: string;
  readonly userId: string;
  readonly event: SessionEvent;
}

/** The subscriber will never take this event: the delivery is buried at once. */
export class Undeliverable extends Error {}

const NAME = /^[\w.:-]{1,100}$/;

/** The subscribers of this process. All must be added before the application has started. */
@Injectable()
export class Subscribers {
  private readonly byName = new Map<string, Subscriber>();

  add(subscriber: Subscriber): void {
    if (!NAME.test(subscriber.name))
      throw new Error(
        `The name of a subscriber has 1 to 100 of A-Z, a-z, 0-9, _ . : and -, unlike "${subscriber.name}"`,
      );
    if (this.byName.has(subscriber.name))
      throw new Error(`There are two subscribers called ${subscriber.name}`);
    this.byName.set(subscriber.name, subscriber);
  }

  all(): readonly Subscriber[] {
    return [...this.byName.values()];
  }
}
