import { Injectable } from '@nestjs/common';

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

/** Who hears of events after their commit. */
export interface Subscriber {
  /** What it is owed is kept under this name. */
  readonly name: string;
  readonly events: readonly string[];
  /** Resolves when the subscriber has the message; a rejection is tried again. */
  deliver(message: EventMessage, signal: AbortSignal): Promise<void>;
}

const NAME = /^[\w.:-]{1,100}$/;

/** The subscribers of this process. They are added before the application has started. */
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
