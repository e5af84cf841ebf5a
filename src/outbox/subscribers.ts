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

/** Gets events after their commit. */
export interface Subscriber {
  /** Its deliveries are stored under this name. */
  readonly name: string;
  readonly events: readonly string[];
  /** Resolves when the subscriber has received the message. If it rejects, it is called again. */
  deliver(message: EventMessage, signal: AbortSignal): Promise<void>;
}

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
