import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/tx.js';
import type { EventRecorder } from '../events/event-recorder.port.js';
import { SessionsEnded } from '../events/sessions-ended.event.js';
import type { SessionEvent, SessionEventType } from '../events/session-event.js';
import { MatrixError } from '../matrix/matrix-error.js';
import type { PagePosition } from '../matrix/page.rules.js';
import { Clock } from '../system/clock.js';
import { Entropy } from '../system/entropy.js';
import type { DeliveryState, EventDeliveryEntity } from './event-delivery.entity.js';
import { type NewDelivery, OutboxStore, type StuckEvent } from './outbox.store.js';
import { OutboxWorker } from './outbox.worker.js';

const MOST_AT_ONCE = 10_000;
/** Where lists begin. */
const [EARLIEST, LATEST] = [new Date(0), new Date('9999-12-31')];

/** Keeps events, in the transaction that makes them true, for those who hear of them after the commit. */
@Injectable()
export class OutboxService implements EventRecorder {
  constructor(
    private readonly store: OutboxStore,
    private readonly worker: OutboxWorker,
    private readonly clock: Clock,
    private readonly entropy: Entropy,
  ) {}

  record(tx: Tx, event: SessionEvent): void {
    const { eventName } = event.constructor as SessionEventType;
    if (!this.worker.isWanted(eventName)) return;
    this.deliveriesOf(tx).push(
      ...event.perUser().map((part) => ({
        userId: part.userId,
        eventId: `evt_${this.entropy.bytes(18).toString('base64url')}`,
        event: eventName,
        // Now, while whatever cannot be written down still fails the transaction.
        payload: JSON.stringify(part.event),
      })),
    );
  }

  /** The deliveries in a state behind `after`, or from the beginning. */
  list(
    state: DeliveryState,
    subscriber: string | null,
    limit: number,
    after: PagePosition | null,
  ): Promise<EventDeliveryEntity[]> {
    const beginning = { at: state === 'pending' ? EARLIEST : LATEST, id: '' };
    return this.store.list(state, subscriber, limit, after ?? beginning);
  }

  listOfEvent(eventId: string): Promise<EventDeliveryEntity[]> {
    return this.store.listOfEvent(eventId);
  }

  /** Events that have been due since `before`. */
  findStuck(before: Date, limit: number): Promise<StuckEvent[]> {
    return this.store.findStuck(before, limit);
  }

  /** Tries now to deliver what is due; says how many of these events have been delivered since. */
  async deliver(events: readonly StuckEvent[]): Promise<number> {
    await this.worker.pass();
    return this.store.countDelivered(events);
  }

  /**
   * Forgets a subscriber that does not come back, with what it is owed, {@link MOST_AT_ONCE} deliveries of each
   * state at the most; says how many. A node that still has it subscribes anew.
   */
  async discard(subscriber: string): Promise<number> {
    await this.store.unsubscribeAll(subscriber);
    const discarded = [
      await this.store.discard('pending', subscriber, MOST_AT_ONCE),
      await this.store.discard('buried', subscriber, MOST_AT_ONCE),
    ];
    return discarded[0]! + discarded[1]!;
  }

  /**
   * Has a buried delivery tried again, from its first attempt.
   * @throws {MatrixError} `M_NOT_FOUND` when nothing of that name is buried, or nobody is subscribed to it any more
   */
  async replay(eventId: string, subscriber: string): Promise<void> {
    const isThere = await this.store.replay(eventId, subscriber, this.clock.now());
    if (!isThere) throw MatrixError.notFound('No such delivery is buried that anybody is subscribed to');
    this.worker.kick();
  }

  /** Has what is buried of a subscriber tried again, {@link MOST_AT_ONCE} deliveries at the most; says how many. */
  async replayAll(subscriber: string): Promise<number> {
    const replayed = await this.store.replayAll(subscriber, MOST_AT_ONCE, this.clock.now());
    this.worker.kick();
    return replayed;
  }

  private deliveriesOf(tx: Tx): NewDelivery[] {
    return tx.local(this, () => {
      const deliveries: NewDelivery[] = [];
      // A login that replaces a session learns that there was one only after it has announced itself.
      const rank = ({ event }: NewDelivery) => (event === SessionsEnded.eventName ? 0 : 1);
      tx.beforeCommit(() =>
        this.store.appending(
          deliveries.toSorted((one, other) => rank(one) - rank(other)),
          tx.startedAt,
        ),
      );
      tx.afterCommit(() => this.worker.kick(new Set(deliveries.map(({ event }) => event))));
      return deliveries;
    });
  }
}
