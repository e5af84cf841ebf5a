import { Injectable } from '@nestjs/common';
import type { Tx } from '../database/tx.js';
import type { EventRecorder } from '../events/event-recorder.port.js';
import { SessionsEnded } from '../events/sessions-ended.event.js';
import type { SessionEvent, SessionEventType } from '../events/session-event.js';
import { MatrixError } from '../matrix/matrix-error.js';
import type { PagePosition } from '../admin-api/page.rules.js';
import { Clock } from '../system/clock.js';
import { type Arrival, Arrivals } from './arrivals.js';
import type { DeliveryState, EventDeliveryEntity } from './event-delivery.entity.js';
import { type NewDelivery, OutboxStore, type StuckEvent } from './outbox.store.js';
import { OutboxWorker } from './outbox.worker.js';
import { type RecordedEvent, Subscribers } from './subscribers.js';

const MOST_AT_ONCE = 10_000;
/** Where lists of pending and of settled deliveries begin. */
const [EARLIEST, LATEST] = [new Date(0), new Date('9999-12-31')];

/** Records events, in the transaction that makes them true, for subscribers that get them after the commit. */
@Injectable()
export class OutboxService implements EventRecorder {
  constructor(
    private readonly store: OutboxStore,
    private readonly worker: OutboxWorker,
    private readonly subscribers: Subscribers,
    private readonly arrivals: Arrivals,
    private readonly clock: Clock,
  ) {}

  record(tx: Tx, event: SessionEvent): void {
    const { eventName } = event.constructor as SessionEventType;
    if (!this.worker.isWanted(eventName)) return;
    const parts = event.perUser().map((part) => ({ ...part, eventId: this.store.newEventId() }));
    const { deliveries, recorded } = this.outgoing(tx);
    recorded.push(...parts);
    deliveries.push(
      ...parts.map((part) => ({
        userId: part.userId,
        eventId: part.eventId,
        event: eventName,
        // Serialised now, so that a payload that is not valid JSON still fails the transaction.
        payload: JSON.stringify(part.event),
        traceParent: tx.tracing.placeOf(part.userId),
      })),
    );
  }

  /** The deliveries in a state after the position `after`, or from the beginning. */
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

  /** Events that were due before `before` and do not wait for an earlier one. */
  findStuck(before: Date, limit: number): Promise<StuckEvent[]> {
    return this.store.findStuck(before, limit);
  }

  /** Waits at most `limitMs` until a subscriber has received these events, whichever node delivers them. */
  arrival(subscriber: string, eventIds: readonly string[], limitMs: number): Promise<Arrival> {
    return this.arrivals.of(subscriber, eventIds, limitMs);
  }

  /** Makes due what waits for its next attempt at a subscriber that can be reached again, a few at a time. */
  hasten(subscriber: string): Promise<void> {
    return this.arrivals.hasten(subscriber);
  }

  /** Whether a subscriber has not received some event of this name of a user. */
  isPending(subscriber: string, userId: string, event: string): Promise<boolean> {
    return this.store.isPending(subscriber, userId, event);
  }

  /** The age in milliseconds of the oldest event that a subscriber has not received; 0 if there is none. */
  async lagMs(subscriber: string): Promise<number> {
    const oldest = await this.store.oldestPending(subscriber);
    return oldest === null ? 0 : this.clock.now().getTime() - oldest.getTime();
  }

  /** The age in milliseconds of the oldest event that any subscriber has not received; 0 if there is none. */
  async longestLagMs(): Promise<number> {
    const oldest = await this.store.oldestPendingOfAll();
    return oldest === null ? 0 : this.clock.now().getTime() - oldest.getTime();
  }

  /** Tries to deliver what is due, and returns how many of these events have been delivered. */
  async deliver(events: readonly StuckEvent[]): Promise<number> {
    await this.worker.pass();
    return this.store.countDelivered(events);
  }

  /**
   * Forgets a subscriber that will not come back, with at most {@link MOST_AT_ONCE} of its deliveries in each state.
   * Returns how many were deleted. A node that still has the subscriber subscribes it again.
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
   * Retries a buried delivery, with attempts counted from the start.
   * @throws {MatrixError} `M_NOT_FOUND` when no such delivery is buried, or its subscription has ended
   */
  async replay(eventId: string, subscriber: string): Promise<void> {
    const isThere = await this.store.replay(eventId, subscriber, this.clock.now());
    if (!isThere) throw MatrixError.notFound('No such delivery is buried that anybody is subscribed to');
    this.worker.kick();
  }

  /** Retries at most {@link MOST_AT_ONCE} buried deliveries of a subscriber, and returns their number. */
  async replayAll(subscriber: string): Promise<number> {
    const replayed = await this.store.replayAll(subscriber, MOST_AT_ONCE, this.clock.now());
    this.worker.kick();
    return replayed;
  }

  /** What a transaction has recorded so far. */
  private outgoing(tx: Tx): { deliveries: NewDelivery[]; recorded: RecordedEvent[] } {
    return tx.local(this, () => {
      const deliveries: NewDelivery[] = [];
      const recorded: RecordedEvent[] = [];
      // A login learns whether it replaces a session only after it has published its own event.
      const rank = ({ event }: NewDelivery) => (event === SessionsEnded.eventName ? 0 : 1);
      tx.beforeCommit(() =>
        this.store.appending(
          deliveries.toSorted((one, other) => rank(one) - rank(other)),
          tx.startedAt,
        ),
      );
      tx.afterCommit(() => this.worker.kick(new Set(deliveries.map(({ event }) => event))));
      if (this.subscribers.all().some((subscriber) => 'afterCommit' in subscriber))
        tx.afterwards((userId) =>
          this.afterCommit(userId === null ? recorded : recorded.filter((part) => part.userId === userId)),
        );
      return { deliveries, recorded };
    });
  }

  private async afterCommit(recorded: readonly RecordedEvent[]): Promise<void> {
    const nameOf = ({ event }: RecordedEvent) => (event.constructor as SessionEventType).eventName;
    for (const subscriber of this.subscribers.all()) {
      const own = recorded.filter((one) => subscriber.events.includes(nameOf(one)));
      if (own.length > 0) await subscriber.afterCommit?.(own);
    }
  }
}
