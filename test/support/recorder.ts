import { Injectable, Module, type Type } from '@nestjs/common';
import {
  AfterCommit,
  type Delivery,
  DevicesDeleted,
  InTransaction,
  SessionsEnded,
  SessionStarted,
} from '../../src/index.js';

type AnyEvent = DevicesDeleted | SessionsEnded | SessionStarted;

/** One call of a subscriber. */
export interface Heard {
  readonly event: AnyEvent;
  readonly delivery: Delivery;
}

/** A team's module whose subscriber `team` records the events that it receives, and behaves as the test requires. */
export class Recorder {
  readonly module: Type<object>;
  heard: Heard[] = [];
  behave: (heard: Heard) => Promise<void> = async () => {};
  /** Whether the transaction fails after the event was published. */
  refuses = false;

  constructor() {
    // eslint-disable-next-line typescript/no-this-alias -- The subscriber has its own `this`.
    const recorder = this;

    @Injectable()
    class TeamSubscriber {
      @AfterCommit(DevicesDeleted, 'team')
      @AfterCommit(SessionsEnded, 'team')
      @AfterCommit(SessionStarted, 'team')
      async onAny(event: AnyEvent, delivery: Delivery): Promise<void> {
        recorder.heard.push({ event, delivery });
        await recorder.behave({ event, delivery });
      }

      @InTransaction(DevicesDeleted)
      async onDevicesDeleted(): Promise<void> {
        if (recorder.refuses) throw new Error('no');
      }
    }

    @Module({ providers: [TeamSubscriber] })
    class TeamModule {}
    this.module = TeamModule;
  }

  names(): string[] {
    return this.heard.map(({ event }) => event.constructor.name);
  }

  /** Returns the events of one user, because deliveries for users of other tests may still be retried. */
  of({ userId }: { readonly userId: string }): Heard[] {
    return this.heard.filter((one) => userOf(one) === userId);
  }

  reset(): void {
    this.heard = [];
    this.behave = async () => {};
  }
}

/** The user that an event is about. */
export function userOf({ event }: Heard): string {
  if (event instanceof SessionStarted) return event.userId;
  return (event instanceof DevicesDeleted ? event.devices : event.sessions)[0]!.userId;
}
