import 'reflect-metadata';
import type { SessionEvent, SessionEventType } from './session-event.js';

/** What is known of one delivery besides its event. */
export interface Delivery {
  /** The same in every attempt, and for every subscriber: by it a repetition is known. */
  readonly eventId: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** When the transaction of the event began. */
  readonly occurredAt: Date;
  /** Aborted when the delivery takes longer than `EVENT_DELIVERY_TIMEOUT`, and when the service stops. */
  readonly signal: AbortSignal;
}

/** A method that wants to hear of an event. */
export interface AfterCommitSubscription {
  readonly event: SessionEventType;
  readonly subscriber: string;
}

const KEY = 'matrix-session-service:after-commit';

/**
 * Makes a method of a provider or controller that is not request-scoped hear of `Event` after the commit that made
 * it true: for whatever lies outside this database. It gets the part of the event that is about one user, and a
 * {@link Delivery}.
 *
 * It is called at least once, on one node of those that run. When it rejects, or takes longer than
 * `EVENT_DELIVERY_TIMEOUT`, it is called again, with growing pauses; after `EVENT_MAX_ATTEMPTS` the delivery is buried,
 * for an administrator to inspect and replay. Events of a device come one at a time, in their order: later
 * ones wait until an earlier one is delivered or buried. A method that goes on behind its time-out may overlap with
 * its next call.
 *
 * @param subscriber a name that stays: what is owed to it is kept under it. A name that is new hears of what
 *   happens from the start of its first node on (from nodes that run already: after `EVENT_POLL_INTERVAL`). Methods
 *   may share a name if they listen to different events; they are then called in order.
 *
 * @example
 * ```ts
 * @AfterCommit(DevicesDeleted, 'push-gateway')
 * async tellGateway({ devices }: DevicesDeleted, { eventId, signal }: Delivery): Promise<void> {
 *   await fetch(GATEWAY, { method: 'POST', body: JSON.stringify({ eventId, devices }), signal });
 * }
 * ```
 */
export function AfterCommit<Event extends SessionEvent>(event: SessionEventType<Event>, subscriber: string) {
  return <Method extends (event: Event, delivery: Delivery) => Promise<void>>(
    _target: object,
    _name: string | symbol,
    descriptor: TypedPropertyDescriptor<Method>,
  ): void => {
    const listener = descriptor.value!;
    Reflect.defineMetadata(KEY, [...subscriptionsOf(listener), { event, subscriber }], listener);
  };
}

/** What a method subscribed to. */
export function subscriptionsOf(method: object): readonly AfterCommitSubscription[] {
  return (Reflect.getMetadata(KEY, method) as AfterCommitSubscription[] | undefined) ?? [];
}
